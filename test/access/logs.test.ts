import type { FastifyServerOptions } from 'fastify'
import { Writable } from 'node:stream'
import { test } from 'tap'
import { Client, connect, newRoom, openStream, post, startApp, until } from '../helpers.js'

const GOOD = 'good-token-7c1f'
const BAD = 'bad-token-93ab'
const KEY = 'publish-key-5e0d'
const SECRETS = [GOOD, BAD, KEY]

/** All that is logged from level trace on, as text. */
function captureLog (): { log: { text: string }, logger: NonNullable<FastifyServerOptions['logger']> } {
  const log = { text: '' }
  const stream = new Writable({ write (chunk, _encoding, done) { log.text += String(chunk); done() } })
  return { log, logger: { level: 'trace', stream } }
}

test('no token and no key ever reaches the log, whatever way it came and however it ends', async (t) => {
  for (const queryToken of [true, false]) {
    const { log, logger } = captureLog()
    const { url } = await startApp(t, {
      queryToken,
      presence: true,
      clientPublish: true,
      publishKeys: [{ id: 'the-key', key: KEY, rooms: ['room:*'] }],
      limits: { firstFrame: 50 },
      async authenticate (_request, token) {
        if (token === undefined) return null
        if (token !== GOOD) throw new Error('no such token')
        return { user: 'alice', expiresAt: Date.now() + 300 }
      },
      authorize ({ room, key }) {
        if (room === 'throws') throw new Error('authorize failed')
        return room !== 'denied' || key !== undefined
      },
      snapshot: () => { throw new Error('snapshot failed') }
    }, { logger })
    const room = newRoom()

    for (const token of SECRETS) {
      for (const name of [room, 'denied', 'throws', '%00']) {
        const authorization = `Bearer ${token}`
        for (const path of [`${name}/history`, `${name}/presence`, `${name}/events`, `${name}/nothing-here`]) {
          await (await fetch(`${url}/rooms/${path}?x=1`, { headers: { authorization } })).body?.cancel()
          // Where it is no address of ours, the app logs the URL before we see it: that is told in the docs.
          if (!path.endsWith('nothing-here')) await (await fetch(`${url}/rooms/${path}?access_token=${token}&limit=x`)).body?.cancel()
          if (!path.endsWith('nothing-here')) await (await fetch(`${url}/rooms/${path}?a=b&ACCESS_TOKEN=${token}&access%5Ftoken=${token}`)).body?.cancel()
        }
        await post(`${url}/rooms/${name}`, 1, { authorization })
        await post(`${url}/rooms/${name}?access_token=${token}`, 1, { authorization: 'none' })
        const stream = await openStream(t, `${url}/rooms/${name}/events?access_token=${token}`, { 'last-event-id': '1-1' })
        stream.close()
      }
      await post(`${url}/rooms?access_token=${token}`, { messages: [{ room, data: 1 }, { room: 'denied', data: 1 }] }, { authorization: `Bearer ${token}` })
      await fetch(`${url}/rooms?access_token=${token}`) // 426
      await fetch(`${url}/rooms/${room}`, { method: 'POST', headers: { 'content-type': 'text/plain', authorization: `Bearer ${token}` }, body: '{' })
      await post(`${url}/rooms/${room}`, 1, { authorization: `Bearer ${token} and more` })

      const ways: Array<[string, string[], Record<string, string>]> = [
        ['', [], { authorization: `Bearer ${token}` }],
        ['', ['fan-out.v1', `bearer.${token}`], {}],
        [`&access_token=${token}`, [], {}],
        [`&access_token=${token}&access_token=${token}`, [], {}]
      ]
      for (const [query, protocols, headers] of ways) {
        const client = await connect(t, url, `/rooms?room=${room}&room=denied&room=throws${query}`, protocols, { headers })
        await until(() => client.closed !== undefined || client.of('error').length > 1, 'an answer')
        client.websocket.close()
        const foreign = new Client(`${url}/rooms?room=${room}${query}`, protocols, { headers: { ...headers, origin: 'https://evil.example' } })
        await until(() => foreign.closed)
      }
      for (const frame of [{ type: 'auth', token }, { type: 'auth', token: [token] }, { type: 'auth', token, ref: token.repeat(9) }, { type: token }, `{"type":"auth","token":"${token}"`, `"${token}`]) {
        const client = await connect(t, url)
        await client.frame({ type: 'welcome' })
        client.send(frame)
        client.send({ type: 'publish', room, data: token, ref: 1 })
        await until(() => client.closed !== undefined || client.of('authenticated').length > 0 || client.of('error').length > 0)
        client.websocket.close()
        await client.close()
      }
      // An invalid frame: ws itself fails.
      const broken = await connect(t, url, `/rooms?access_token=${token}`, [`bearer.${token}`, 'fan-out.v1'])
      await broken.frame({ type: 'welcome' })
      ;(broken.websocket as unknown as { _socket: { write (data: string): void } })._socket.write(token)
      await broken.close()
    }
    // One that runs out.
    const short = await connect(t, url, '/rooms', ['fan-out.v1', `bearer.${GOOD}`])
    t.match(await short.close(), { code: 4401 })

    t.match(log.text, /access_token=\[redacted\]/, 'it was there, and was struck out')
    t.match(log.text, /authentication failed/)
    t.match(log.text, /authorize failed/)
    const lines = log.text.split('\n').filter((line) => SECRETS.some((secret) => line.includes(secret)))
    t.strictSame(lines, [])
  }
})

test("the app's own serializer stays, with tokens struck out of what it answers", async (t) => {
  const { log, logger } = captureLog()
  const round: Record<string, unknown> = {}
  round['itself'] = round
  const { url } = await startApp(t, { queryToken: true }, {
    logger: { ...logger as object, serializers: { req: (request: { url: string, query: unknown, headers: object }) => ({ own: true, nested: { url: request.url }, list: [request.url], query: request.query, headers: request.headers, round }) } } as never
  })
  await fetch(`${url}/rooms/a/history?access_token=${GOOD}`, { headers: { authorization: `Bearer ${GOOD}`, 'x-mine': 'kept' } })
  const client = await connect(t, url, '/rooms', ['fan-out.v1', `bearer.${GOOD}`])
  await client.frame({ type: 'welcome' })
  t.match(log.text, /"own":true/)
  t.match(log.text, /"x-mine":"kept"/)
  t.match(log.text, /"sec-websocket-protocol":"fan-out.v1,bearer\.\[redacted\]"/)
  t.notMatch(log.text, new RegExp(GOOD))
})

test('a serializer of the register call is not undone, and log levels are obeyed', async (t) => {
  const { log, logger } = captureLog()
  const { url } = await startApp(t, { logLevel: 'silent' } as never, { logger })
  await fetch(`${url}/rooms/a/history?access_token=${GOOD}`)
  t.notMatch(log.text, /incoming request/)
})

test('start-up errors do not repeat a key', async (t) => {
  for (const publishKeys of [[{ id: 'a', key: KEY, rooms: [] }], [{ id: '', key: KEY }], [{ key: KEY }], [{ id: 'a', key: KEY }, { id: 'a', key: KEY }], { id: 'a', key: KEY }, KEY, [KEY], [{ id: 'a', key: KEY, [KEY]: 1 }]]) {
    const error = await startApp(t, { publishKeys: publishKeys as never }).catch((error: Error) => error) as Error
    t.match(error, { code: 'FAN_OUT_ERR_INVALID_OPTION', message: /options\.publishKeys/ })
    if (!JSON.stringify(publishKeys).includes(`"${KEY}":`)) t.notMatch(error.message, new RegExp(KEY))
  }
})
