import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import { test } from 'tap'
import { parseNatsUrl, readFiles } from '../../lib/brokers/nats/url.js'

test('servers and credentials', (t) => {
  t.strictSame(parseNatsUrl('nats://somewhere'), { addresses: [{ host: 'somewhere', port: 4222 }], tls: false })
  t.strictSame(parseNatsUrl('nats+jetstream://one:1,two,[::1]:3/?tls=true'), {
    addresses: [{ host: 'one', port: 1 }, { host: 'two', port: 4222 }, { host: '::1', port: 3 }],
    tls: true
  })
  t.match(parseNatsUrl('nats://user:p%40ss%3A,@one:80'), { addresses: [{ host: 'one', port: 80 }], user: 'user', password: 'p@ss:,' })
  t.match(parseNatsUrl('nats://s3cr%25t@one'), { token: 's3cr%t' })
  t.match(parseNatsUrl('nats://one?creds=/a%20b.creds'), { creds: '/a b.creds', tls: false })
  t.match(parseNatsUrl('nats://one?nkey=/seed&tlsCa=/ca&tlsCert=/cert&tlsKey=/key'), { nkey: '/seed', tlsCa: '/ca', tlsCert: '/cert', tlsKey: '/key', tls: true })
  t.end()
})

test('what cannot be meant is refused, without repeating what is secret', (t) => {
  for (const [url, message] of [
    ['nats:one', /no NATS URL/],
    ['nats://', /no NATS URL/],
    ['nats://one,,two', /no NATS URL/],
    ['nats://user:secret@one:port', /no NATS URL/],
    ['nats://user:sec@ret@one', /no NATS URL.*%40/],
    ['nats://user:secret@one/3', /no path/],
    ['nats://user:secret%@one', /%25/],
    ['nats://secret@one?cred=x', /no \?cred=, but creds, nkey, tls, tlsCa, tlsCert, tlsKey/],
    ['nats://one?tls=maybe', /true or false/],
    ['nats://one?tlsCert=/secret', /go together/],
    ['nats://secret@one?creds=x', /one of/],
    ['nats://one?nkey=secret&creds=x', /one of/]
  ] as const) {
    t.throws(() => parseNatsUrl(url), { code: 'FAN_OUT_ERR_INVALID_OPTION', message }, url)
    try { parseNatsUrl(url) } catch (error) { t.notMatch((error as Error).message, /sec|ret/) }
  }
  t.end()
})

test('files are read when they are needed, and said to be wrong without what they hold', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-nats-url-'))
  t.teardown(async () => { await rm(folder, { recursive: true }) })
  const seed = new TextDecoder().decode(nkeys.createUser().getSeed())
  const write = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const read = async (query: string): ReturnType<typeof readFiles> => await readFiles(parseNatsUrl(`nats://one?${query}`))

  const nkey = await write('nkey', `${seed}\n`)
  const { credentials } = await read(`nkey=${nkey}`)
  t.match((credentials.authenticator as (nonce: string) => object)('nonce'), { nkey: /^U/, sig: /./ })
  const creds = await write('creds', `-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`)
  t.match(((await read(`creds=${creds}`)).credentials.authenticator as (nonce: string) => object)('nonce'), { jwt: 'a.b.c', nkey: /^U/, sig: /./ })
  const [ca, cert, key] = await Promise.all(['ca', 'cert', 'key'].map((name) => write(name, name)))
  t.strictSame((await read(`tlsCa=${ca}&tlsCert=${cert}&tlsKey=${key}`)).certificates, { ca: 'ca', cert: 'cert', key: 'key' })
  t.strictSame((await readFiles(parseNatsUrl('nats://u:p@one'))).credentials, { user: 'u', pass: 'p' })
  t.strictSame((await readFiles(parseNatsUrl('nats://t@one'))).credentials, { token: 't' })

  const wrong = await write('wrong', 'SECRET')
  for (const [query, message] of [
    [`nkey=${wrong}`, /\?nkey holds no seed/],
    [`creds=${wrong}`, /\?creds holds no credentials/],
    [`creds=${folder}/none`, /\?creds cannot be read \(ENOENT\)/],
    [`tlsCa=${folder}`, /\?tlsCa cannot be read \(EISDIR\)/]
  ] as const) await t.rejects(read(query), { code: 'FAN_OUT_ERR_INVALID_OPTION', message }, query)
  await t.rejects(read(`nkey=${wrong}`), { message: /^(?!.*SECRET)/ })
})
