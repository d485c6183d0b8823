import type { Browser, Page } from 'puppeteer-core'
import type { Test } from 'tap'
import type { Proxy } from './proxy.js'
import tap, { before, test } from 'tap'
import { until } from '../helpers.js'
import { launch, tabs, type BrowserName } from './launch.js'
import { joined, network, open, openStage, told, Traffic, type Stage } from './stage.js'

/** Tabs of a real browser that share one connection, while all that breaks is broken: each of them is told each message once and in order. */
export function testSharedTabs (name: BrowserName): void {
  let browser: Browser
  let stage: Stage
  before(async () => {
    stage = await openStage(tap)
    browser = await launch(name)
  })
  tap.teardown(() => browser?.close())

  const connections = (): number => stage.servers.reduce((sum, { app }) => sum + app.rooms.stats().connections.websocket, 0)

  /** The first of them leads. */
  async function openTabs (t: Test, count: number): Promise<{ pages: Page[], proxy: Proxy, traffic: Traffic, newTab: () => Promise<Page> }> {
    const newTab = await tabs(t, browser)
    const proxy = await network(t, stage.servers.map(({ url }) => url))
    const traffic = new Traffic(stage)
    const pages: Page[] = []
    for (let i = 0; i < count; i++) {
      const page = await newTab()
      await open(page, proxy, { room: traffic.room, shared: true, storage: true })
      pages.push(page)
    }
    await until(() => connections() === 1, 'there is one connection')
    traffic.start()
    await traffic.pass()
    return { pages, proxy, traffic, newTab }
  }

  async function check (t: Test, traffic: Traffic, pages: Page[]): Promise<void> {
    for (const page of pages) await joined(page)
    await traffic.stop()
    for (const page of pages) await traffic.check(t, page)
    await until(() => connections() === 1, 'there is one connection')
    t.pass('one connection')
  }

  test('the tab that leads is closed, and the next one is reloaded', async (t) => {
    const { pages, traffic } = await openTabs(t, 4)
    await pages.shift()!.close()
    for (const page of pages) await joined(page)
    await traffic.pass()
    // Whichever leads by now is among them.
    for (const page of pages) {
      await page.reload()
      await joined(page)
    }
    await check(t, traffic, pages)
  })

  test('the network is cut', async (t) => {
    const { pages, traffic, proxy } = await openTabs(t, 3)
    proxy.cut()
    await traffic.pass()
    proxy.restore()
    for (const page of pages) await joined(page)
    await check(t, traffic, pages)
  })

  test('a tab that comes later begins where it asks to', async (t) => {
    const { pages, traffic, proxy, newTab } = await openTabs(t, 2)
    const late = await newTab()
    await open(late, proxy, { room: traffic.room, shared: true, join: { since: 'earliest' } })
    await traffic.pass()
    const latest = await newTab()
    const { sent } = traffic
    await open(latest, proxy, { room: traffic.room, shared: true })
    await check(t, traffic, [...pages, late])
    const [first, ...rest] = await told(latest) as number[]
    t.ok(first! >= sent, 'no replay without a cursor')
    t.same(rest, Array.from(rest, (_, index) => first! + 1 + index))
  })

  // Firefox can have both tabs in one process.
  if (name === 'chromium') {
    test('the tab that leads hangs', async (t) => {
      const { pages, traffic } = await openTabs(t, 3)
      let hangs = true
      const hanging = pages[0]!.evaluate('{ const end = Date.now() + 6_000; while (Date.now() < end); }').then(() => { hangs = false })
      const { sent } = traffic
      await until(async () => (await told(pages[1]!)).includes(sent + 200), 'another leads')
      t.ok(hangs)
      await hanging
      await check(t, traffic, pages)
    })
  }
}
