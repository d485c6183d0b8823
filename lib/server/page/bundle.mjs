// Makes of this directory the three files that lib/server/page.ts puts into one document: the markup, the style, and one script
// with the client and uPlot in it.
import { build } from 'esbuild'
import { copyFileSync, readFileSync } from 'node:fs'

const from = 'lib/server/page'
const to = 'dist/lib/server/page'
const licence = readFileSync('node_modules/uplot/LICENSE', 'utf8')

await build({
  entryPoints: { page: `${from}/main.ts`, style: `${from}/page.css` },
  outdir: to,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  banner: { js: `/*! With uPlot.\n${licence}*/` }
})
copyFileSync(`${from}/page.html`, `${to}/page.html`)
