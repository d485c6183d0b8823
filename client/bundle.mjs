// Makes of the client the files that the plugin serves to script tags: the client, what it loads where WebSockets are blocked, and the sharing
// of one connection between tabs.
import { build } from 'esbuild'

await build({
  entryPoints: { client: 'client/index.ts', 'event-streams': 'client/event-streams.ts', tabs: 'client/tabs.ts' },
  outdir: 'dist/client/browser',
  bundle: true,
  external: ['./event-streams.js'],
  minify: true,
  format: 'esm',
  target: 'es2022'
})
