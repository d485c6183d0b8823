// Makes of the client the files that the plugin serves to script tags: the client, what it loads where it needs it, and the sharing of one connection
// between tabs.
import { build } from 'esbuild'

await build({
  entryPoints: { client: 'client/index.ts', 'event-streams': 'client/event-streams.ts', history: 'client/history.ts', tabs: 'client/tabs.ts' },
  outdir: 'dist/client/browser',
  bundle: true,
  external: ['./event-streams.js', './history.js'],
  minify: true,
  format: 'esm',
  target: 'es2022',
  // Fields are assigned: that is shorter.
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } }
})
