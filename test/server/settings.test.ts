import { test } from 'tap'
import { banner } from '../../lib/server/banner.js'
import { readSettings, SettingsError, VARIABLES } from '../../lib/server/settings.js'

test('an empty environment gives a server for this machine, with a key of its own', async (t) => {
  const settings = readSettings({})
  t.match(settings, { host: '127.0.0.1', port: 3000, broker: 'memory:', publishKeyMadeUp: true })
  t.match(settings.publishKey, /^[\w-]{32}$/)
  t.not(readSettings({}).publishKey, settings.publishKey, 'another one each time')
  t.notOk('tokenSecret' in settings)
})

test('what is set is taken', async (t) => {
  const settings = readSettings({
    HOST: '::', PORT: '0', FAN_OUT_BROKER: 'redis://:pass@redis:6379/2', FAN_OUT_PUBLISH_KEY: 'a-key', FAN_OUT_TOKEN_SECRET: 'a secret'
  })
  t.same(settings, {
    host: '::', port: 0, broker: 'redis://:pass@redis:6379/2', publishKey: 'a-key', publishKeyMadeUp: false, tokenSecret: 'a secret'
  })
  t.match(readSettings({ HOST: '', PORT: '', FAN_OUT_BROKER: '' }), { host: '127.0.0.1', port: 3000, broker: 'memory:' })
  t.equal(readSettings({ FAN_OUT_BROKER: 'kafka://a:9092,b:9092' }).broker, 'kafka://a:9092,b:9092')
})

test('an error names its variable, and repeats no secret', async (t) => {
  const wrong: [name: string, value: string][] = [
    ['PORT', '70000'], ['PORT', '-1'], ['PORT', '80.5'], ['PORT', 'http'], ['PORT', '0x50'], ['PORT', ' '],
    ['FAN_OUT_BROKER', 'localhost'], ['FAN_OUT_BROKER', '//:hidden@host'],
    ['FAN_OUT_PUBLISH_KEY', ''], ['FAN_OUT_PUBLISH_KEY', ' '], ['FAN_OUT_PUBLISH_KEY', 'hidden key'], ['FAN_OUT_PUBLISH_KEY', 'hidden\n'],
    ['FAN_OUT_TOKEN_SECRET', ''], ['FAN_OUT_TOKEN_SECRET', '  ']
  ]
  for (const [name, value] of wrong) {
    try {
      readSettings({ [name]: value })
      t.fail(`${name}=${JSON.stringify(value)} is taken`)
    } catch (error) {
      t.ok(error instanceof SettingsError)
      t.match(error, { variable: name, message: new RegExp(`^${name} `) })
      t.notMatch((error as Error).message, /hidden/)
    }
  }
})

test('--help lists every variable that is read', async (t) => {
  const read = new Set<string>()
  readSettings(new Proxy<Record<string, string>>({}, {
    get (_env, name) {
      read.add(String(name))
      return undefined
    }
  }))
  t.same(VARIABLES.map(([name]) => name).sort(), [...read].sort())
})

test('the banner says where, and gives a line that publishes', async (t) => {
  const text = banner(readSettings({}), 3000)
  t.match(text, 'listens on http://127.0.0.1:3000, broker memory:')
  t.match(text, /curl http:\/\/127\.0\.0\.1:3000\/rooms\/demo -H "authorization: Bearer [\w-]{32}"/)
  t.match(text, 'open to everyone')
})

test('the banner keeps given secrets to itself', async (t) => {
  const text = banner(readSettings({
    HOST: '::', FAN_OUT_BROKER: 'redis://user:hid/den@a:1,b:2/0?x=hidden', FAN_OUT_PUBLISH_KEY: 'hidden-key', FAN_OUT_TOKEN_SECRET: 'hidden-secret'
  }), 8080)
  t.notMatch(text, /hid/)
  t.match(text, 'broker redis://a:1,b:2\n')
  t.match(text, 'http://[::]:8080')
  t.match(text, 'http://[::1]:8080/rooms/demo -H "authorization: Bearer $FAN_OUT_PUBLISH_KEY"')
  t.match(text, 'shorter than 32 bytes')
  t.match(banner(readSettings({ HOST: '0.0.0.0' }), 1), 'http://127.0.0.1:1/')
})
