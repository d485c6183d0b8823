import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import tap, { test } from 'tap'
import type { Test } from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = (name: string) => join(root, 'node_modules', '.bin', name)
const versionOf = (name: string): string => JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version

/** Runs a program to its end; what it said is in the failure where it does not end with 0. */
function run (t: Test, name: string, cwd: string, command: string, ...args: string[]): string {
  // Without what tap sets for its own children: a package is used without a loader.
  const { NODE_OPTIONS, ...env } = process.env
  for (const variable of Object.keys(env)) if (/^(TAP|npm_)/i.test(variable) && !/registry|cafile|cache/i.test(variable)) delete env[variable]
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: 240_000 })
  t.equal(status, 0, name, { output: stdout + stderr, error: error?.message })
  return stdout
}

// It installs and compiles, on machines with little to spare: the runner is told to wait.
tap.setTimeout(600_000)

const CONTRACT = `
import { test } from 'node:test'
import { MemoryBroker } from 'fastify-fan-out'
import { brokerContract } from 'fastify-fan-out/contract'

await brokerContract({
  test,
  name: 'of the package',
  alone: true,
  create: (t, { size, idempotencyTtl }) => new MemoryBroker({ history: { size, maxAge: 300_000, bytes: 4 * 1024 * 1024 }, idempotencyTtl })
})
`

const CONSUMER = `
import Fastify from 'fastify'
import fanOut, { type FanOutOptions } from 'fastify-fan-out'

const options: FanOutOptions = {
  broker: 'memory:',
  presence: true,
  publishKeys: [{ id: 'me', key: 'a-key-for-the-consumer' }],
  authorize: ({ action, room }) => action === 'subscribe' && room !== undefined
}
const app = Fastify()
await app.register(fanOut, options)
await app.ready()
const { room, id }: { room: string, id: string } = await app.rooms.publish('news', { hello: 1 }, { idempotencyKey: 'one' })
const sub = await app.rooms.subscribe('news', { since: id }, (event) => {
  if (event.type === 'message') console.log(event.id, event.data)
})
const ready: boolean = app.rooms.ready
console.log(room, ready)
await sub.close()
await app.close()
`

test('the package, as it is installed', async (t) => {
  // Packed from a copy: prepack clears dist, which other tests run from at this moment.
  // In the system's folder: below ours Node would find our node_modules.
  const scratch = mkdtempSync(join(realpathSync(tmpdir()), 'fan-out-package-'))
  t.teardown(() => rmSync(scratch, { recursive: true, force: true }))
  const [copy, packed, consumer] = ['copy', 'packed', 'consumer'].map((name) => join(scratch, name)) as [string, string, string]
  for (const folder of [copy, packed, consumer]) mkdirSync(folder)
  for (const name of readdirSync(root)) {
    if (['node_modules', 'dist', '.git', '.tap'].includes(name)) continue
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'dir')
  run(t, 'npm pack builds and packs', copy, 'npm', 'pack', '--pack-destination', packed)
  const [file = ''] = readdirSync(packed)
  const tarball = join(packed, file)

  writeFileSync(join(consumer, 'package.json'), '{"private":true,"type":"module"}')
  run(t, 'npm install', consumer, 'npm', 'install', '--prefer-offline', '--ignore-scripts', tarball,
    `fastify@${versionOf('fastify')}`, `@types/node@${versionOf('@types/node')}`)
  const installed = join(consumer, 'node_modules', 'fastify-fan-out')

  await t.test('holds what is run and read, and nothing else', async (t) => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    for (const path of ['LICENSE', 'dist/index.js', 'dist/index.d.ts', 'dist/lib/server/main.js', 'dist/lib/server/page/page.html']) {
      t.ok(files.includes(path), path)
    }
    t.same(files.filter((path) => /\.tst\.|\.test\.|^(test|lib|bench|examples)\//.test(path)), [])
    t.same(files.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts')), [])
  })

  await t.test('is imported, required, and runs', async (t) => {
    const use = (load: string) => `${load}
const app = Fastify()
app.register(fanOut)
app.ready().then(() => app.rooms.publish('news', 1)).then(({ id }) => { console.log(id); return app.close() })`
    writeFileSync(join(consumer, 'use.mjs'), use("import Fastify from 'fastify'\nimport fanOut from 'fastify-fan-out'"))
    writeFileSync(join(consumer, 'use.cjs'), use("const Fastify = require('fastify')\nconst { default: fanOut } = require('fastify-fan-out')"))
    t.match(run(t, 'import', consumer, process.execPath, 'use.mjs'), /^\d+-1\n$/)
    t.match(run(t, 'require', consumer, process.execPath, 'use.cjs'), /^\d+-1\n$/)
    t.match(run(t, 'the program', consumer, join(consumer, 'node_modules', '.bin', 'fastify-fan-out'), '--version'), /^\d+\.\d+\.\d+/)
  })

  await t.test('the contract of brokers runs from it, under node:test, and is all of the tests that is in it', async (t) => {
    const files = readdirSync(join(installed, 'dist', 'test'), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.js'))
    t.same(files.filter((path) => !/^brokers\/contract(\.js|\/)/.test(path)), [])
    for (const path of files) {
      const imported = [...readFileSync(join(installed, 'dist', 'test', path), 'utf8').matchAll(/ from '([^.][^']*)'/g)].map(([, name]) => name as string)
      t.same(imported.filter((name) => !name.startsWith('node:')), [], `${path} needs node only`)
    }
    writeFileSync(join(consumer, 'contract.mjs'), CONTRACT)
    const output = run(t, 'node --test', consumer, process.execPath, '--test', '--test-reporter=tap', 'contract.mjs')
    t.match(output, /ok 1 - the contract of brokers: of the package/)
    t.match(output, /ok \d+ - reading on from each position/)
    t.match(output, /^# fail 0$/m)
  })

  await t.test('its types hold in a strict program that checks them all', async (t) => {
    mkdirSync(join(consumer, 'src'))
    writeFileSync(join(consumer, 'src', 'use.ts'), CONSUMER)
    writeFileSync(join(consumer, 'src', 'contract.ts'), CONTRACT)
    const compile = (options: object) => {
      writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({
        compilerOptions: {
          strict: true,
          skipLibCheck: false,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          target: 'es2022',
          module: 'nodenext',
          types: ['node'],
          noEmit: true,
          ...options
        },
        include: ['src']
      }))
      run(t, JSON.stringify(options), consumer, bin('tsc'), '-p', '.')
    }
    compile({})
    compile({ module: 'preserve', moduleResolution: 'bundler', exactOptionalPropertyTypes: false })
  })

  await t.test('publint and attw have nothing to say', async (t) => {
    t.match(run(t, 'publint', root, bin('publint'), 'run', tarball, '--strict'), 'All good!')
    run(t, 'attw', root, bin('attw'), tarball, '--profile', 'esm-only')
  })
})
