import { chromium, type Page } from 'playwright-core'
import tap, { before, test } from 'tap'
import { publish, serve, until } from '../server/helpers.js'
// @ts-expect-error -- a script that runs before anything is built has no types
import { find } from '../services.mjs'
import { createProxy, type Proxy } from './proxy.js'
import type { Browser } from 'playwright-core'
import type { Test } from 'tap'

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']

// A browser comes back in its own time, up to 5 s after each cut.
tap.setTimeout(300_000)

let browser: Browser
before(async () => { browser = await chromium.launch({ executablePath: find('chromium'), args: FLAGS }) })
tap.teardown(() => browser?.close())

/** A page whose errors, also those of its policy, fail the test. */
async function newPage (t: Test): Promise<Page> {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', (error) => t.fail(error.message))
  page.on('console', (message) => { if (/policy|trusted/i.test(message.text())) t.fail(message.text()) })
  return page
}

/** The two plain pages, nothing of ours in them, opened by way of a network that can be cut. */
async function openBoth (t: Test, origin: string): Promise<{ proxy: Proxy, pages: Page[] }> {
  const html = (script: string) => `<!doctype html><script>${script}</script>`
  const proxy = await createProxy(t, origin, { '/websocket.html': html(WEB_SOCKET), '/eventsource.html': html(EVENT_SOURCE) })
  const pages: Page[] = []
  for (const path of ['websocket.html', 'eventsource.html']) {
    const page = await newPage(t)
    await page.goto(`${proxy.origin}/${path}`)
    await until(async () => JSON.stringify(await page.evaluate('others')).includes('"subscribed"'), `${path} is subscribed`)
    pages.push(page)
  }
  return { proxy, pages }
}

// What the documentation tells people to write: keep the last id, hand it back.
const WEB_SOCKET = `
  const got = [], others = []
  let since = '', drops = 0
  function connect () {
    const socket = new WebSocket('ws://' + location.host + '/rooms?room=news' + (since && '&since=' + since))
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data)
      if (frame.id) since = frame.id
      if (frame.type === 'message') got.push(frame.data)
      else others.push(frame)
    }
    socket.onclose = () => { drops++; setTimeout(connect, 50) }
  }
  connect()`

const EVENT_SOURCE = `
  const got = [], others = []
  let drops = 0
  const source = new EventSource('/rooms/news/events')
  source.onmessage = ({ data }) => got.push(JSON.parse(data))
  source.onerror = () => drops++
  for (const type of ['subscribed', 'gap']) {
    source.addEventListener(type, ({ data }) => others.push({ ...JSON.parse(data), type }))
  }`

test('plain pages lose their connection and resume, with nothing lost and nothing doubled', async (t) => {
  const { origin } = await serve(t)
  const { proxy, pages } = await openBoth(t, origin)
  const read = (page: Page, name: string): Promise<unknown[]> => page.evaluate(name)

  let sent = 0
  const send = async (count: number) => { for (const end = sent + count; sent < end; sent++) await publish(origin, 'news', { n: sent }) }
  const all = () => Array.from({ length: sent }, (_, n) => ({ n }))
  const arrived = async () => {
    for (const page of pages) await until(async () => (await read(page, 'got')).length >= sent, `${sent} messages arrived`)
  }

  await send(10)
  await arrived()
  for (let round = 0; round < 2; round++) {
    // Cut amid messages, not between them.
    const sending = send(60)
    await until(() => sent % 60 > 20, 'some of them are sent')
    proxy.cut()
    await sending
    const restored = send(20)
    proxy.restore()
    await restored
    await arrived()
  }
  // The first message of silence would show a straggler that came twice.
  await send(1)
  await arrived()

  for (const page of pages) {
    t.same(await read(page, 'got'), all())
    t.ok(await page.evaluate('drops') as number >= 2, 'the connection was lost')
    const others = await read(page, 'others') as { type: string, recovered?: boolean }[]
    t.same(others.filter(({ type }) => type === 'gap'), [])
    t.same(others.filter(({ type }) => type === 'subscribed').map(({ recovered }) => recovered), [undefined, true, true])
  }
})

test('a drop before the first message resumes as well', async (t) => {
  const { origin } = await serve(t)
  const { proxy, pages } = await openBoth(t, origin)
  proxy.cut()
  await publish(origin, 'news', 'first')
  proxy.restore()
  for (const page of pages) {
    await until(async () => (await page.evaluate('got') as unknown[]).length > 0, 'the message arrives')
    t.same(await page.evaluate('got'), ['first'])
  }
})
