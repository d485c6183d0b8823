// Makes of the client the two files that the plugin serves to script tags: the client, and what it loads where WebSockets are blocked.
import { build } from 'esbuild'

await build({
  entryPoints: { client: 'client/index.ts', 'event-streams': 'client/event-streams.ts' },
  outdir: 'dist/client/browser',
  bundle: true,
  external: ['./event-streams.js'],
  minify: true,
  format: 'esm',
  target: 'es2022'
})
