import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { SignJWT } from 'jose'
import tap, { before, test, type Test } from 'tap'
import { publish, serve, until, KEY } from '../server/helpers.js'
// @ts-expect-error -- a script that runs before anything is built has no types
import { find } from '../services.mjs'
import { createProxy } from './proxy.js'

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let browser: Browser
before(async () => { browser = await chromium.launch({ executablePath: find('chromium'), args: FLAGS }) })
tap.teardown(() => browser?.close())

/** A page whose errors, also those of its policy, fail the test. */
async function newPage (t: Test, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext(options)
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', (error) => t.fail(error.message))
  page.on('console', (message) => { if (/policy|trusted/i.test(message.text())) t.fail(message.text()) })
  return page
}

const state = (page: Page, name: string, hasText: string | RegExp = '') => page.locator(`#state[data-state=${name}]`, { hasText }).waitFor()
const room = (page: Page, name: string) => page.getByRole('region', { name: `Room ${name}`, exact: true })
const row = (page: Page, name: string, text: string | RegExp, kind = 'message') => room(page, name).locator(`li.${kind}`, { hasText: text })
const shown = (page: Page, name: string) => room(page, name).locator('li.message pre').allTextContents()

test('rooms are joined, left, and kept in the address', async (t) => {
  const { origin } = await serve(t)
  const page = await newPage(t)
  await page.goto(`${origin}/`)
  await state(page, 'open', 'WebSocket')
  await row(page, 'demo', 'Joined', 'note').waitFor()

  await page.fill('#room', 'chat:ünï/1')
  await page.keyboard.press('Enter')
  await row(page, 'chat:ünï/1', 'Joined', 'note').waitFor()
  t.match(page.url(), /#demo,chat%3A%C3%BCn%C3%AF%2F1$/)
  const id = await publish(origin, 'demo', { hello: '<img src=x onerror="document.title=1">' })
  await publish(origin, 'chat:ünï/1', 'in another room')
  await row(page, 'demo', '<img src=x').waitFor()
  await row(page, 'chat:ünï/1', 'in another room').waitFor()
  t.equal(await row(page, 'demo', '<img src=x').locator('.cursor').textContent(), id, 'with its cursor')
  t.equal(await page.locator('.log img').count(), 0, 'what is published stays text')
  t.same(await shown(page, 'chat:ünï/1'), ['"in another room"'])

  await page.fill('#room', 'demo')
  await page.keyboard.press('Enter')
  t.match(await page.textContent('#room-problem'), 'is joined')
  await page.fill('#room', 'ü'.repeat(101))
  await page.keyboard.press('Enter')
  t.match(await page.textContent('#room-problem'), 'this one has 202')

  await page.getByRole('button', { name: 'Leave demo' }).click()
  t.equal(await room(page, 'demo').count(), 0)
  t.match(page.url(), /#chat%3A%C3%BCn%C3%AF%2F1$/)
  await page.reload()
  await row(page, 'chat:ünï/1', 'in another room').waitFor()
  t.equal(await room(page, 'demo').count(), 0)
})

test('the page publishes, shows who is there, and measures', async (t) => {
  const { origin } = await serve(t)
  const page = await newPage(t)
  await page.goto(`${origin}/`)
  await page.fill('#data', 'plain words')
  await page.click('#publish button.main')
  await page.locator('#published', { hasText: 'asks for the publish key' }).waitFor()
  await page.fill('#key', 'wrong')
  await page.click('#publish button.main')
  await page.locator('#published[data-result=bad]', { hasNotText: 'asks for the publish key' }).waitFor()
  t.equal(await page.evaluate('sessionStorage.getItem("fan-out-key")'), null)
  await page.fill('#key', KEY)
  await page.click('#publish button.main')
  await row(page, 'demo', '"plain words"').waitFor()
  await page.locator('#published[data-result=good]').waitFor()
  t.equal(await page.evaluate('sessionStorage.getItem("fan-out-key")'), KEY)
  t.equal(await page.evaluate('localStorage.length'), 0)
  t.match(await page.textContent('#curl'), '/rooms/demo\' -H "authorization: Bearer $FAN_OUT_PUBLISH_KEY"')

  await room(page, 'demo').locator('summary', { hasText: '1 here' }).waitFor()
  await page.locator('#latency', { hasText: /median .+, slowest/ }).waitFor()
  await page.fill('#data', '{"kind":"many"}')
  await page.click('#stream')
  await row(page, 'demo', '{"n":3,"kind":"many"}').waitFor()
  await page.locator('#rate', { hasText: /^[1-9]\d* a second/ }).waitFor()
  await page.click('#stream')
  t.equal(await page.getAttribute('#stream', 'aria-pressed'), 'false')
})

test('the button cuts, and the resume after it loses nothing, on both transports', async (t) => {
  const { origin } = await serve(t)
  const page = await newPage(t)
  await page.goto(`${origin}/#news,chat`)
  const sent: string[] = []
  const send = async (text: string) => {
    for (const name of ['news', 'chat']) await publish(origin, name, text)
    sent.push(JSON.stringify(text))
  }
  for (const [transport, name] of [['websocket', 'WebSocket'], ['events', 'Server-Sent Events']] as const) {
    await page.check(`[name=transport][value=${transport}]`)
    await state(page, 'open', name)
    await send(`before, by ${transport}`)
    await row(page, 'news', `before, by ${transport}`).waitFor()
    await page.click('#cut')
    await state(page, 'cut')
    for (let n = 0; n < 5; n++) await send(`missed ${n} by ${transport}`)
    t.equal(await row(page, 'news', `missed 0 by ${transport}`).count(), 0)
    await page.click('#cut')
    await state(page, 'open', name)
    await send(`after, by ${transport}`)
    for (const room of ['news', 'chat']) {
      await row(page, room, `after, by ${transport}`).waitFor()
      t.same(await shown(page, room), sent)
      await row(page, room, 'Resumed where it was, nothing lost', 'note').last().waitFor()
      t.equal(await row(page, room, '', 'gap').count(), 0)
    }
  }
})

test('a server that is gone, and a gap where one is due', async (t) => {
  const { origin } = await serve(t)
  const proxy = await createProxy(t, origin)
  const page = await newPage(t)
  await page.goto(`${proxy.origin}/`)
  await publish(origin, 'demo', 'of the first server')
  await row(page, 'demo', 'of the first server').waitFor()

  // The memory broker dies with its server: the page says that something is missing, and where.
  const next = await serve(t)
  await publish(next.origin, 'demo', 'of the next server')
  proxy.cut()
  await row(page, 'demo', 'The connection is away', 'away').waitFor()
  proxy.leadTo(next.origin)
  proxy.restore()
  await row(page, 'demo', 'Messages are missing here', 'gap').waitFor()
  await row(page, 'demo', 'of the next server').waitFor()
  t.same([await room(page, 'demo').locator('li').nth(-2).getAttribute('class'), await room(page, 'demo').locator('li').last().getAttribute('class')], ['gap', 'message'])
  t.match(await room(page, 'demo').locator('.where').textContent(), '1 gap')
  t.match(await page.textContent('#announcer'), /demo: /, 'and it is read out')
})

test('tokens, where the server asks for them', async (t) => {
  const secret = 'a secret that is long enough for HS256'
  const sign = (rooms: string[]) => new SignJWT({ sub: 'ada', rooms }).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret))
  const { origin } = await serve(t, { FAN_OUT_TOKEN_SECRET: secret })
  const page = await newPage(t)
  await page.goto(`${origin}/#chat:1`)
  await state(page, 'closed', 'asks for a token')

  const tryToken = async (token: string) => {
    await page.fill('#token', token)
    await page.click('#connect button')
  }
  for (const transport of ['websocket', 'events']) {
    await page.check(`[name=transport][value=${transport}]`)
    await tryToken('wrong')
    await state(page, 'refused', /token/)
    await tryToken(await sign(['news']))
    await row(page, 'chat:1', /Not in the room: .*denied/, 'refused').last().waitFor()
    await tryToken(await sign(['chat:*']))
    await state(page, 'open')
    await publish(origin, 'chat:1', `by ${transport}`)
    await row(page, 'chat:1', `by ${transport}`).waitFor()
  }
})

test('axe finds nothing, light and dark, on a desktop and on a phone', async (t) => {
  const { origin } = await serve(t)
  const page = await newPage(t)
  await page.goto(`${origin}/#news,chat:1`)
  await page.fill('#key', KEY)
  await page.click('#publish button.main')
  await room(page, 'chat:1').locator('summary').click()
  await page.click('#cut')
  await row(page, 'news', 'The connection is away', 'away').waitFor()
  await page.evaluate(AXE)
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 740 })
      const { violations } = await page.evaluate('axe.run()') as { violations: Array<{ id: string, nodes: Array<{ html: string }> }> }
      t.same(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], `${colorScheme}, ${width} px`)
      t.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off at the side')
    }
  }
})

test('by keyboard alone', async (t) => {
  const { origin } = await serve(t)
  const page = await newPage(t)
  await page.goto(`${origin}/`)
  await state(page, 'open')
  const reached: string[] = []
  await until(async () => {
    await page.keyboard.press('Tab')
    reached.push(await page.evaluate('document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.name || document.activeElement.textContent'))
    return reached.includes('Messages of demo')
  }, 'the log is reached')
  for (const id of ['cut', 'room', 'target', 'data', 'key', 'stream', 'curl', 'copy', 'transport', 'Leave demo']) t.ok(reached.includes(id), id)
})
