import type { Browser, Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { createRequire } from 'node:module'
// @ts-expect-error -- a script that runs before anything is built has no types
import { find } from '../services.mjs'

// The resolver of tap's hooks does not find a module that the ESM one imports for Firefox.
const puppeteer = createRequire(import.meta.url)('puppeteer-core') as typeof import('puppeteer-core').default

export type BrowserName = 'chromium' | 'firefox'

const CHROMIUM = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** A real browser, both driven in the same way: Chromium over CDP, Firefox over WebDriver BiDi. */
export async function launch (name: BrowserName): Promise<Browser> {
  const executablePath = find(name) as string
  return name === 'firefox'
    ? await puppeteer.launch({ browser: 'firefox', executablePath, headless: true })
    : await puppeteer.launch({ browser: 'chrome', executablePath, headless: true, args: CHROMIUM })
}

/** Tabs of one profile, all closed when the test ends. What goes wrong in one fails the test. */
export async function tabs (t: Test, browser: Browser): Promise<() => Promise<Page>> {
  const context = await browser.createBrowserContext()
  t.teardown(() => context.close())
  return async () => {
    const page = await context.newPage()
    // Firefox counts connections that break among them.
    page.on('pageerror', (error) => { if (!/connection to/.test(String(error))) t.fail(String(error)) })
    return page
  }
}
