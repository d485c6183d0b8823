import { createHmac, generateKeyPairSync } from 'node:crypto'
import { test } from 'tap'
import { SignJWT, UnsecuredJWT } from 'jose'
import { createTokens } from '../../lib/server/tokens.js'
import type { FastifyRequest } from 'fastify'

const SECRET = 'a secret that is long enough for HS256'
const key = new TextEncoder().encode(SECRET)
const sign = (claims: Record<string, unknown>, alg = 'HS256') => new SignJWT(claims).setProtectedHeader({ alg }).sign(key)
const request = () => ({ raw: {} }) as unknown as FastifyRequest
const now = () => Math.floor(Date.now() / 1000)

test('a token says who is there and until when', async (t) => {
  const { authenticate } = createTokens(SECRET)
  const exp = now() + 60
  t.same(await authenticate(request(), await sign({ sub: 'ada', exp })), { user: 'ada', expiresAt: exp * 1000 })
  t.same(await authenticate(request(), await sign({ sub: 'ada' })), { user: 'ada' }, 'without exp it does not expire')
  t.same(await authenticate(request(), await sign({})), {}, 'without sub nobody in particular')
  await t.rejects(authenticate(request()), 'no token is refused')
})

test('what is no good token is refused', async (t) => {
  const { authenticate } = createTokens(SECRET)
  const refused = async (what: string, token: string) => t.rejects(authenticate(request(), token), what)
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

  await refused('expired', await sign({ sub: 'ada', exp: now() - 1 }))
  await refused('not yet valid', await sign({ sub: 'ada', nbf: now() + 60 }))
  await refused('HS512', await sign({ sub: 'ada' }, 'HS512'))
  await refused('alg none', new UnsecuredJWT({ sub: 'ada' }).encode())
  await refused('alg none, in other letters', `${part({ alg: 'NoNe' })}.${part({ sub: 'ada' })}.`)
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  await refused('RS256', await new SignJWT({ sub: 'ada' }).setProtectedHeader({ alg: 'RS256' }).sign(privateKey))
  await refused('another secret', await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET + '!')))
  await refused('no header', `${part({})}.${part({})}.${createHmac('sha256', SECRET).update(`${part({})}.${part({})}`).digest('base64url')}`)
  await refused('no JWT', 'token')
  await refused('empty', '')
  await refused('rooms no array', await sign({ rooms: 'chat:*' }))
  await refused('rooms no strings', await sign({ rooms: [1] }))
  await refused('rooms null', await sign({ rooms: null }))
})

test('a token allows the rooms of its patterns, and subscribing only', async (t) => {
  const { authenticate, authorize } = createTokens(SECRET)
  const ada = request()
  await authenticate(ada, await sign({ sub: 'ada', rooms: ['chat:*', 'news'] }))

  t.ok(authorize({ action: 'subscribe', room: 'chat:42', request: ada }))
  t.ok(authorize({ action: 'subscribe', room: 'news', request: ada }))
  t.notOk(authorize({ action: 'subscribe', room: 'newspaper', request: ada }))
  t.notOk(authorize({ action: 'subscribe', request: ada }))
  t.notOk(authorize({ action: 'subscribe', room: 'news', request: request() }), 'nobody may subscribe without a token')
  t.notOk(authorize({ action: 'subscribe', room: 'news', key: 'any', request: request() }), 'the publish key is no token')
  for (const action of ['publish', 'presence', 'control'] as const) {
    t.notOk(authorize({ action, room: 'news', request: ada }), action)
    t.ok(authorize({ action, room: 'news', key: 'any', request: request() }), `${action} with a publish key`)
  }
})

test('the claim rooms: absent is every room, empty is none, a fresh token counts from now on', async (t) => {
  const { authenticate, authorize } = createTokens(SECRET)
  const ada = request()
  const may = () => authorize({ action: 'subscribe', room: 'any', request: ada })

  await authenticate(ada, await sign({ sub: 'ada' }))
  t.ok(may())
  await authenticate(ada, await sign({ sub: 'ada', rooms: [] }))
  t.notOk(may())
  await authenticate(ada, await sign({ sub: 'ada', rooms: ['a*'] }))
  t.ok(may())
  await t.rejects(authenticate(ada, 'bad'))
  t.ok(may(), 'a bad token leaves the good one')
})
