import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

// Only the build makes it, wherever this file is read from.
const built = new URL(import.meta.url.includes('/dist/') ? './page/' : '../../dist/lib/server/page/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, built), 'utf8')
const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** The live page at `/`: one document, nothing fetched from elsewhere, no script but its own. */
export function addPage (app: FastifyInstance, { tokens }: { tokens: boolean }): void {
  const style = read('style.css')
  const script = read('page.js')
  // Functions as replacements: `$&` and its like in the files mean nothing then.
  const html = read('page.html')
    .replace('data-tokens=""', () => `data-tokens="${tokens ? 'needed' : 'unused'}"`)
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script type="module"></script>', () => `<script type="module">${script}</script>`)

  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    // With this a browser refuses innerHTML and its like: what is published stays text.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'"
  ].join('; ')

  app.get('/', { logLevel: 'warn' }, async (_request, reply) => {
    reply.headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy,
      'cache-control': 'no-cache',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff'
    })
    return html
  })
}
