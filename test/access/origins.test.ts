import { test } from 'tap'
import { Client, startApp } from '../helpers.js'

/** How an upgrade with this Origin ends: the first frame, or the status that stood in for the 101. */
async function open (url: string, headers: Record<string, string>): Promise<string> {
  const client = new Client(`${url}/rooms`, [], { headers })
  return await new Promise((resolve) => {
    client.websocket.on('message', (data) => { resolve((JSON.parse(String(data)) as { type: string }).type); client.websocket.terminate() })
    client.websocket.on('unexpected-response', (_request, response) => { resolve(String(response.statusCode)); response.resume(); client.websocket.terminate() })
  })
}

test("'same': the request's own host, whatever scheme, port as a browser writes it", async (t) => {
  const { url } = await startApp(t)
  const { host, port } = new URL(url)
  t.equal(await open(url, {}), 'welcome', 'no Origin: not a browser')
  t.equal(await open(url, { origin: `http://${host}` }), 'welcome')
  t.equal(await open(url, { origin: `https://${host}` }), 'welcome', 'TLS ended before us')
  t.equal(await open(url, { origin: 'http://127.0.0.1' }), '403', 'another port')
  t.equal(await open(url, { origin: `http://localhost:${port}` }), '403', 'another name of the same host')
  t.equal(await open(url, { origin: 'https://evil.example' }), '403')
  t.equal(await open(url, { origin: 'null' }), '403', 'a sandboxed frame')
  t.equal(await open(url, { origin: '' }), '403', 'an Origin that says nothing')
  t.equal(await open(url, { origin: `http://${host}@evil.example` }), '403', 'our host as user info')
  t.equal(await open(url, { origin: `http://${host}.evil.example` }), '403')
  t.equal(await open(url, { origin: 'https://example.com', host: 'example.com' }), 'welcome', 'default port, left out by both')
  t.equal(await open(url, { origin: 'https://example.com', host: 'example.com:443' }), 'welcome', 'default port, written by one')
  t.equal(await open(url, { origin: 'http://example.com', host: 'example.com:80' }), 'welcome')
  t.equal(await open(url, { origin: 'https://example.com', host: 'example.com:80' }), '403', 'that is no default port of https')
  t.equal(await open(url, { origin: 'https://example.com', host: 'EXAMPLE.com' }), 'welcome', 'hosts have no case')
})

test("'same' believes X-Forwarded-Host only of a proxy that the app trusts", async (t) => {
  const headers = { origin: 'https://public.example', 'x-forwarded-host': 'public.example' }
  const { url } = await startApp(t)
  t.equal(await open(url, headers), '403')
  const trusting = await startApp(t, {}, { trustProxy: true })
  t.equal(await open(trusting.url, headers), 'welcome')
  t.equal(await open(trusting.url, { ...headers, origin: `http://${new URL(trusting.url).host}` }), '403', 'the inner host is not what a browser sees')
})

test("'*' takes every origin", async (t) => {
  const { url } = await startApp(t, { origins: '*' })
  t.equal(await open(url, { origin: 'https://evil.example' }), 'welcome')
  t.equal(await open(url, { origin: 'null' }), 'welcome')
})

test('a list of strings and regular expressions', async (t) => {
  const { url } = await startApp(t, { origins: ['https://one.example', /^https:\/\/[a-z]+\.two\.example$/g, /^https:\/\/THREE\.example$/iy] })
  for (let i = 0; i < 3; i++) {
    t.equal(await open(url, { origin: 'https://one.example' }), 'welcome')
    t.equal(await open(url, { origin: 'https://a.two.example' }), 'welcome', 'a RegExp with g has a memory that must not count')
    t.equal(await open(url, { origin: 'https://three.example' }), 'welcome', 'nor that of one with y')
  }
  t.equal(await open(url, { origin: 'https://one.example.evil.example' }), '403')
  t.equal(await open(url, { origin: 'http://one.example' }), '403', 'another scheme')
  t.equal(await open(url, { origin: 'null' }), '403')
  t.equal(await open(url, { origin: new URL(url).origin }), '403', 'a list replaces the default')
})

test('a foreign origin learns why, and leaves nothing behind', async (t) => {
  const { app, url } = await startApp(t)
  const client = new Client(`${url}/rooms?room=a`, [], { headers: { origin: 'https://evil.example', cookie: 'session=1' } })
  const body = await new Promise<string>((resolve) => {
    client.websocket.on('unexpected-response', (_request, response) => { response.setEncoding('utf8').on('data', resolve) })
  })
  t.match(JSON.parse(body), { statusCode: 403, code: 'FAN_OUT_ERR_ORIGIN' })
  t.strictSame(app.rooms.stats().connections, { websocket: 0, events: 0 })
  client.websocket.terminate()
})
