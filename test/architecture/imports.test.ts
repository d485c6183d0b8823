import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const IMPORT = /^(?:import|export)\s+(type\s)?[^'"]*?from\s+['"]([^'"]+)['"]|import\(['"]([^'"]+)['"]\)/gm

interface Import { from: string, to: string, isType: boolean }

/** Every import of our own sources, paths from the root; packages by their name. */
function readImports (): Import[] {
  const files = ['index.ts', ...readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).map((name) => join('lib', name)), 'types/index.ts'].filter((name) => name.endsWith('.ts'))
  return files.flatMap((from) => [...readFileSync(join(root, from), 'utf8').matchAll(IMPORT)].map(([, type, name, dynamic]) => {
    const target = name ?? dynamic ?? ''
    const to = target.startsWith('.') ? normalize(join(dirname(from), target)).replace(/\.js$/, '.ts').split(sep).join('/') : target
    return { from: from.split(sep).join('/'), to, isType: type !== undefined }
  }))
}

const imports = readImports()

function forbid (from: RegExp, to: RegExp, except: (found: Import) => boolean = () => false): string[] {
  return imports.filter((found) => from.test(found.from) && to.test(found.to) && !except(found)).map(({ from, to }) => `${from} -> ${to}`)
}

test('imports go one way', async (t) => {
  t.ok(imports.length > 100, 'they were found')
  t.same(forbid(/^lib\/brokers\//, /^lib\/(rooms|transports|routes|plugin|api|server)/), [], 'brokers import nothing that uses them')
  t.same(forbid(/^lib\/transports\//, /^lib\/(brokers|routes|plugin|server)/), [], 'transports know no broker')
  t.same(forbid(/^lib\/rooms\//, /^(ws|node:net|node:http|fastify|ioredis|@fastify\/redis|lib\/(transports|routes|plugin|server))/), [], 'rooms know neither sockets nor HTTP nor the client of a broker')
  t.same(forbid(/^lib\/rooms\//, /^lib\/brokers\//, ({ to, isType }) => to === 'lib/brokers/broker.ts' && isType), [], 'of the brokers rooms know the interface')
  t.same(forbid(/^lib\/(?!server\/)/, /^lib\/server\//), [], 'the plugin does not need the program')
})

test('no circle of modules that need each other when they are loaded', async (t) => {
  const graph = new Map<string, string[]>()
  for (const { from, to, isType } of imports) if (!isType) graph.set(from, [...graph.get(from) ?? [], to])
  const circles: string[] = []
  const visit = (file: string, path: string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    else if (!done.has(file)) for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  const done = new Set<string>()
  for (const file of graph.keys()) visit(file, [])
  t.same(circles, [])
})
