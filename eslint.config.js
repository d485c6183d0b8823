import neostandard from 'neostandard'

const browser = [
  'document', 'location', 'history', 'sessionStorage', 'navigator', 'addEventListener', 'getSelection',
  'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'fetch', 'URL', 'AbortController',
  'TextEncoder', 'WebSocket', 'EventSource'
]

export default [
  ...neostandard({
    ts: true,
    filesTs: ['**/*.ts'],
    ignores: ['dist', '.tap', 'node_modules']
  }),
  {
    // `void` before a call says that its promise is not waited for, and cannot reject.
    rules: { 'no-void': ['error', { allowAsStatement: true }] }
  },
  {
    // The live page's script runs in a browser, without a build.
    files: ['lib/server/page/*.js'],
    languageOptions: { globals: Object.fromEntries(browser.map((name) => [name, 'readonly'])) },
    rules: { 'no-unused-vars': ['error', { varsIgnorePattern: '^open(Socket|Events)$' }] }
  }
]
