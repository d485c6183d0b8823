import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type Page } from 'playwright-core'
import tap, { before, test, type Test } from 'tap'
import { freePort, RedisServer } from '../redis-server.js'
import { startApp, until } from '../helpers.js'
// @ts-expect-error -- a script that runs before anything is built has no types
import { find } from '../services.mjs'
import { folder, serve, start } from './running.js'

let browser: Browser
before(async () => { browser = await chromium.launch({ executablePath: find('chromium'), args: ['--headless', '--no-sandbox', '--disable-gpu'] }) })
tap.teardown(() => browser?.close())

/** A page whose errors fail the test. */
async function open (t: Test, url: string): Promise<Page> {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', (error) => t.fail(error.message, { error: String(error.stack) }))
  await page.goto(url)
  return page
}

test('chat: two servers, and one of them is killed', async (t) => {
  const REDIS_URL = (await RedisServer.start(t)).url
  const [PORT, other] = [String(await freePort()), await serve(t, 'chat/server.ts', { REDIS_URL })]
  const one = await serve(t, 'chat/server.ts', { REDIS_URL, PORT })
  const enter = async (url: string, name: string): Promise<Page> => {
    const page = await open(t, url)
    await page.fill('#name', name)
    await page.click('#enter button')
    await page.locator('#state', { hasText: 'Connected.' }).waitFor()
    return page
  }
  const say = async (page: Page, text: string): Promise<void> => {
    await page.fill('#text', text)
    await page.click('#say button')
  }
  const hears = (page: Page, text: string): Promise<void> => page.locator('#log .message', { hasText: text }).waitFor()
  const ada = await enter(one.url, 'Ada')
  const zoe = await enter(other.url, 'Zoë')
  for (const page of [ada, zoe]) await page.locator('#here', { hasText: 'Ada, Zoë' }).waitFor()
  await say(ada, 'hello')
  await hears(zoe, 'Ada: hello')

  one.child.kill('SIGKILL')
  await ada.locator('#state', { hasText: 'coming back' }).waitFor()
  await say(zoe, 'are you there?')
  await hears(zoe, 'are you there?')
  await say(ada, 'not yet')
  await ada.locator('#log .pending', { hasText: 'not yet' }).waitFor()
  await serve(t, 'chat/server.ts', { REDIS_URL, PORT })
  await hears(ada, 'Zoë: are you there?')
  await hears(zoe, 'Ada: not yet')
  await hears(ada, 'Ada: not yet')
  for (const page of [ada, zoe]) {
    await page.locator('#log .pending').waitFor({ state: 'detached' })
    t.same(await page.locator('#log li').allTextContents(), ['Ada: hello', 'Zoë: are you there?', 'Ada: not yet'])
    t.equal(await page.locator('#log .gap').count(), 0)
  }
})

test('dashboard: a backend\'s POSTs, and who comes later', async (t) => {
  const { url } = await serve(t, 'dashboard/server.ts')
  const page = await open(t, url)
  const rows = (of: Page): Promise<string[]> => of.locator('#hosts tr').allTextContents()
  const backend = start(t, 'dashboard/backend.ts', [], { URL: url })
  await until(async () => (await rows(page)).length === 3, 'three hosts')
  const first = await rows(page)
  await until(async () => String(await rows(page)) !== String(first), 'they change')
  backend.child.kill('SIGKILL')
  await backend.exited
  t.equal(backend.output(), '')

  const later = await open(t, url)
  await until(async () => (await rows(later)).length === 3, 'the snapshot')
  await until(async () => String((await rows(later)).sort()) === String((await rows(page)).sort()), 'both show the same')
})

test('order-tracking: steps as they happen, and who comes late', async (t) => {
  const { url } = await serve(t, 'order-tracking/server.ts', { PAUSE: '200' })
  const page = await open(t, url)
  const steps = async (of: Page): Promise<Array<string | undefined>> => (await of.locator('#steps li').allTextContents()).map((text) => text.split(',')[0])
  await page.click('button')
  await page.locator('#steps li', { hasText: 'delivered' }).waitFor()
  t.same(await steps(page), ['received', 'packed', 'shipped', 'delivered'])
  const late = await open(t, page.url())
  await late.locator('#steps li', { hasText: 'delivered' }).waitFor()
  t.same(await steps(late), ['received', 'packed', 'shipped', 'delivered'])
})

/** The app as one has it who copied it and installed what it needs: the package is a link, as for npm's `file:`. */
async function copy (t: Test): Promise<string> {
  const root = fileURLToPath(new URL('..', folder))
  const app = await mkdtemp(join(tmpdir(), 'use-room-'))
  t.teardown(() => rm(app, { recursive: true }))
  await cp(new URL('use-room', folder), app, { recursive: true, filter: (name) => !/node_modules|dist/.test(name.slice(root.length)) })
  await mkdir(join(app, 'node_modules'))
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (/^(react|react-dom|vite|typescript|@vitejs|@types|\.bin)$/.test(name)) await symlink(join(root, 'node_modules', name), join(app, 'node_modules', name))
  }
  await symlink(root, join(app, 'node_modules/fastify-fan-out'))
  return app
}

test('use-room: one room for two components, in StrictMode', async (t) => {
  const cwd = await copy(t)
  let joins = 0
  const { app, url } = await startApp(t, { authorize: ({ action }) => action === 'subscribe' && ++joins > 0 })
  const port = await freePort()
  const { NODE_OPTIONS, ...env } = process.env
  const vite = spawn(join(cwd, 'node_modules/.bin/vite'), ['--host', '127.0.0.1', '--port', String(port), '--strictPort'], { cwd, env: { ...env, ROOMS_URL: url }, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(vite, 'close')
  t.teardown(async () => {
    vite.kill('SIGKILL')
    await exited
  })
  let output = ''
  vite.stdout.on('data', (chunk) => { output += String(chunk) })
  await until(() => output.includes(String(port)), 'vite listens', 20_000)

  const page = await open(t, `http://127.0.0.1:${port}/`)
  const panel = (name: string) => page.getByRole('region', { name })
  const subscriptions = (count: number) => until(() => app.rooms.stats().subscriptions === count, `${count} subscriptions`)
  for (const name of ['First', 'Second']) await panel(name).getByText('joined').waitFor()
  t.equal(joins, 1, 'joined once')
  t.equal(app.rooms.stats().subscriptions, 1)
  await app.rooms.publish('news', 'hello')
  for (const name of ['First', 'Second']) await panel(name).getByText('"hello"').waitFor()

  await panel('First').getByRole('button').click()
  await app.rooms.publish('news', 'for the second')
  await panel('Second').getByText('"for the second"').waitFor()
  await panel('Second').getByRole('button').click()
  await subscriptions(0)
  await panel('First').getByRole('button').click()
  await panel('First').getByText('"for the second"').waitFor()
  t.equal(await panel('First').locator('li').count(), 2)
  t.equal(joins, 2)

  await page.fill('input', 'sport')
  await app.rooms.publish('sport', 'goal')
  await panel('First').getByText('"goal"').waitFor()
  t.equal(await panel('First').locator('li').count(), 1)
  await subscriptions(1)
})

test('use-room is built, with types', async (t) => {
  const cwd = await copy(t)
  for (const [program, ...args] of [['tsc'], ['vite', 'build']] as Array<[string, ...string[]]>) {
    const child = spawn(join(cwd, 'node_modules/.bin', program), args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
    t.same(await once(child, 'close'), [0, null], `${program} ends with 0`, { output })
  }
  t.ok((await readdir(join(cwd, 'dist/assets'))).some((name) => name.endsWith('.js')))
})
