import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { test } from 'tap'
import { startApp } from '../helpers.js'

const root = join(import.meta.dirname, '../..')
const FILES = ['client.js', 'event-streams.js', 'history.js', 'tabs.js']
// Bytes, minified and gzipped.
const MOST = 4_096

test('the client is small', async (t) => {
  const size = gzipSync(readFileSync(join(root, 'dist/client/browser/client.js')), { level: 9 }).length
  t.ok(size < MOST, `${size} bytes`)
})

test('the client imports nothing but itself', async (t) => {
  for (const name of readdirSync(join(root, 'client')).filter((name) => name.endsWith('.ts'))) {
    const text = readFileSync(join(root, 'client', name), 'utf8')
    for (const [, from] of text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)) t.match(from, /^\.\/[a-z-]+\.js$/, `${name} imports ${from}`)
    t.notMatch(text, /\b(process|Buffer|require|setImmediate)\b[.(]/, `${name} uses nothing of Node`)
  }
})

test('it is served where that is switched on, and as what it is', async (t) => {
  const { url } = await startApp(t, { client: true })
  const without = await startApp(t)
  for (const name of FILES) {
    const response = await fetch(`${url}/rooms/${name}`)
    t.equal(response.status, 200)
    t.equal(await response.text(), readFileSync(join(root, 'dist/client/browser', name), 'utf8'))
    t.match(Object.fromEntries(response.headers), { 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff', 'access-control-allow-origin': '*' })
    const etag = response.headers.get('etag') as string
    t.match(etag, /^"\S+"$/)
    const again = await fetch(`${url}/rooms/${name}`, { headers: { 'if-none-match': etag } })
    t.equal(again.status, 304)
    t.equal(await again.text(), '')
    t.equal((await fetch(`${url}/rooms/${name}`, { headers: { 'if-none-match': '"other"' } })).status, 200)
    t.equal((await fetch(`${without.url}/rooms/${name}`)).status, 404)
  }
})

test('the served file is the client, a listener that throws harms nothing, and what was closed keeps no process alive', async (t) => {
  const { app, url } = await startApp(t, { authorize: () => true, clientPublish: true })
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', `
    import WebSocket from 'ws'
    const { connect } = await import(${JSON.stringify(join(root, 'dist/client/browser/client.js'))})
    let thrown = 0
    process.on('uncaughtException', () => thrown++)
    for (const transport of ['websocket', 'events']) {
      const client = connect('${url}/rooms', { WebSocket, transport })
      const room = client.join('r')
      room.addEventListener('message', () => { throw new Error('of the application') })
      await new Promise((resolve) => room.addEventListener('state', resolve, { once: true }))
      const told = []
      const both = new Promise((resolve) => room.addEventListener('message', ({ data }) => told.push(data) === 2 && resolve()))
      await room.publish(1)
      await room.publish(2)
      await both
      client.close()
      console.log(transport, told.join())
    }
    const waiting = connect('http://127.0.0.1:1/rooms', { WebSocket })
    await new Promise((resolve) => waiting.addEventListener('state', resolve, { once: true }))
    waiting.close()
    const connecting = connect('${url}/rooms', { WebSocket })
    connecting.close()
    console.log(thrown, waiting.state, connecting.state)
    const closed = performance.now()
    process.on('exit', () => console.log(performance.now() - closed < 5_000))
  `], { cwd: root, timeout: 20_000, env: { PATH: process.env['PATH'] } })
  t.strictSame(stdout.trim().split('\n'), ['websocket 1,2', 'events 1,2', '4 closed closed', 'true'])
  t.equal((await app.rooms.history('r')).messages.length, 4)
})
