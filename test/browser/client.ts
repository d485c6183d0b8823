import type { Browser } from 'puppeteer-core'
import tap, { before, test } from 'tap'
import { childServer } from '../faults/child.js'
import { newRoom, startApp, until } from '../helpers.js'
import { launch, tabs, type BrowserName } from './launch.js'
import { joined, network, open, openStage, told, Traffic, type Stage } from './stage.js'

/** The client in a real browser, while all that breaks on the way to two servers is broken. */
export function testClient (name: BrowserName): void {
  let browser: Browser
  let stage: Stage
  const origins = (): string[] => stage.servers.map(({ url }) => url)
  before(async () => {
    stage = await openStage(tap)
    browser = await launch(name)
  })
  tap.teardown(() => browser?.close())

  test('the connection is cut, and comes back at the other server', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const proxy = await network(t, origins())
    const traffic = new Traffic(stage)
    await open(page, proxy, { room: traffic.room })
    traffic.start()
    for (let round = 0; round < 2; round++) {
      await traffic.pass()
      proxy.cut()
      await traffic.pass()
      proxy.restore()
      await joined(page)
    }
    await traffic.check(t, page)
    t.ok((await page.evaluate('states') as string[]).filter((state) => state === 'waiting').length >= 2, 'it was cut off')
  })

  test('the browser is offline for a while', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const proxy = await network(t, origins())
    const traffic = new Traffic(stage)
    await open(page, proxy, { room: traffic.room })
    traffic.start()
    await traffic.pass()
    // Firefox lets connections live that it has.
    await page.setOfflineMode(true)
    proxy.cut()
    proxy.restore()
    await until(() => page.evaluate('client.state !== "open"'), 'it is offline')
    await traffic.pass()
    await page.setOfflineMode(false)
    await joined(page)
    await traffic.check(t, page)
  })

  test('the server is killed', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const child = await childServer(t, { broker: stage.redis.url, client: true })
    const proxy = await network(t, [child.url])
    const traffic = new Traffic(stage)
    await open(page, proxy, { room: traffic.room })
    traffic.start()
    await traffic.pass()
    await child.kill()
    await traffic.pass()
    proxy.leadTo(...origins())
    await joined(page)
    await traffic.check(t, page)
  })

  test('the page is reloaded, and resumes by what it stored', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const proxy = await network(t, origins())
    const traffic = new Traffic(stage)
    await open(page, proxy, { room: traffic.room, storage: true })
    traffic.start()
    for (let round = 0; round < 2; round++) {
      await traffic.pass()
      await page.reload()
      await joined(page)
    }
    await traffic.check(t, page)
  })

  test('a hidden tab', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const proxy = await network(t, origins())
    const traffic = new Traffic(stage)
    await open(page, proxy, { room: traffic.room })
    await (await newTab()).bringToFront()
    await until(() => page.evaluate('document.hidden'), 'it is hidden')
    traffic.start()
    await traffic.pass()
    proxy.cut()
    await traffic.pass()
    proxy.restore()
    await until(async () => (await told(page)).length > 30, 'it resumes while it is hidden')
    proxy.cut()
    await page.bringToFront()
    proxy.restore()
    await joined(page)
    await traffic.check(t, page)
  })

  test('where WebSockets are blocked, event streams do the same', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const proxy = await network(t, origins())
    proxy.webSockets = false
    const traffic = new Traffic(stage)
    await open(page, proxy, { room: traffic.room })
    t.equal(await page.evaluate('client.transport'), 'events')
    traffic.start()
    await traffic.pass()
    proxy.cut()
    await traffic.pass()
    proxy.restore()
    await joined(page)
    await traffic.check(t, page)
  })

  test('where too much was missed, a gap comes first', async (t) => {
    const newTab = await tabs(t, browser)
    const page = await newTab()
    const { app, url } = await startApp(t, { history: { size: 5 }, linger: 0, client: true })
    const proxy = await network(t, [url])
    const room = newRoom()
    await open(page, proxy, { room })
    await app.rooms.publish(room, 0)
    await until(async () => (await told(page)).length === 1, 'the first')
    proxy.cut()
    await until(() => page.evaluate('client.state !== "open"'), 'it is cut off')
    for (let n = 1; n <= 20; n++) await app.rooms.publish(room, n)
    proxy.restore()
    await joined(page)
    await app.rooms.publish(room, 21)
    await until(async () => (await told(page)).at(-1) === 21, 'the last')
    t.same(await told(page), [0, 'gap', 16, 17, 18, 19, 20, 21])
  })
}
