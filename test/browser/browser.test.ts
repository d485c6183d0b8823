import { chromium, type Page } from 'playwright-core'
import { SignJWT } from 'jose'
import tap, { before, test } from 'tap'
import { publish, serve, until, KEY } from '../server/helpers.js'
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

test('the live page', async (t) => {
  const { origin } = await serve(t)
  const proxy = await createProxy(t, origin)
  const page = await newPage(t)
  const state = (name: string) => page.waitForSelector(`#state[data-state=${name}]`)
  const row = (text: string, kind = 'message') => page.locator(`#log li.${kind}`, { hasText: text }).waitFor()
  await page.goto(`${proxy.origin}/`)
  await state('open')

  const id = await publish(origin, 'demo', { hello: '<img src=x onerror="document.title=1">' })
  await row('<img src=x')
  t.equal(await page.textContent('#log li.message .cursor'), id, 'with its cursor')
  t.equal(await page.locator('#log img').count(), 0, 'what is published stays text')

  // Publish from the page: refused without the key, then with it.
  await page.fill('#data', 'plain words')
  await page.click('#publish button')
  t.match(await page.textContent('#published'), 'asks for the publish key')
  await page.fill('#key', 'wrong')
  await page.click('#publish button')
  await page.waitForSelector('#published[data-result=bad]:not(:empty)')
  t.equal(await page.evaluate('sessionStorage.getItem("fan-out-key")'), null)
  await page.fill('#key', KEY)
  await page.click('#publish button')
  await row('"plain words"')
  t.equal(await page.evaluate('sessionStorage.getItem("fan-out-key")'), KEY)
  t.equal(await page.evaluate('localStorage.length'), 0)
  t.match(await page.textContent('#curl'), '/rooms/demo\' -H "authorization: Bearer $FAN_OUT_PUBLISH_KEY"')

  for (const transport of ['websocket', 'events']) {
    await page.check(`[name=transport][value=${transport}]`)
    await state('open')
    proxy.cut()
    await state('waiting')
    await publish(origin, 'demo', `missed by ${transport}`)
    proxy.restore()
    await row(`missed by ${transport}`)
    await state('open')
  }
  t.equal(await page.locator('#log li.gap').count(), 0)

  // The memory broker dies with its server: the page says that something is missing, and where.
  const next = await serve(t)
  await publish(next.origin, 'demo', 'of the next server')
  proxy.cut()
  await state('waiting')
  proxy.leadTo(next.origin)
  proxy.restore()
  await row('Messages are missing here', 'gap')
  await row('of the next server')
  t.same(await page.locator('#log li').evaluateAll((rows) => rows.slice(-2).map((row) => row.className)), ['gap', 'message'])
  t.match(await page.textContent('#gaps'), '1 gap')

  await page.fill('#room', 'chat:ünï/1')
  await page.click('#open-button')
  await page.locator('#state-text', { hasText: 'Live in chat:ünï/1' }).waitFor()
  t.match(page.url(), /#chat%3A%C3%BCn%C3%AF%2F1$/)
  await publish(next.origin, 'chat:ünï/1', 'in another room')
  await row('in another room')
  await page.click('#close-button')
  await state('closed')
})

test('the live page where tokens are asked for', async (t) => {
  const secret = 'a secret that is long enough for HS256'
  const sign = (rooms: string[]) => new SignJWT({ sub: 'ada', rooms }).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret))
  const { origin } = await serve(t, { FAN_OUT_TOKEN_SECRET: secret })
  const page = await newPage(t)
  await page.goto(`${origin}/#chat:1`)
  t.equal(await page.getAttribute('#state', 'data-state'), 'closed', 'it asks first')

  const tryToken = async (token: string, state: string, text: RegExp) => {
    await page.fill('#token', token)
    await page.click('#open-button')
    await page.locator(`#state[data-state=${state}]`, { hasText: text }).waitFor()
    t.pass(`${state}: ${text}`)
  }
  for (const transport of ['websocket', 'events']) {
    await page.check(`[name=transport][value=${transport}]`)
    await tryToken('wrong', 'refused', /token/)
    await tryToken(await sign(['news']), 'refused', /denied/)
    await tryToken(await sign(['chat:*']), 'open', /Live in chat:1/)
    await publish(origin, 'chat:1', `by ${transport}`)
    await page.locator('#log li.message', { hasText: `by ${transport}` }).waitFor()
  }
})
