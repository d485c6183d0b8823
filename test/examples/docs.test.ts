import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import ts from 'typescript'
import { errors } from '../../lib/errors.js'
import { optionsSchema } from '../../lib/options.js'
import { buildServer } from '../../lib/server/server.js'
import { readSettings, VARIABLES } from '../../lib/server/settings.js'
import { closeCodeOf } from '../../lib/transports/close-codes.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = ['README.md', 'CHANGELOG.md', 'examples/README.md', ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => join('docs', name))]
const read = (page: string): string => readFileSync(join(root, page), 'utf8')

test('every error code stands in the protocol, with its status, and no other does', async (t) => {
  const protocol = read('docs/protocol.md')
  const classes = Object.values(errors)
  for (const Class of classes) {
    const { code, statusCode } = new Class()
    const row = protocol.split('\n').find((line) => line.startsWith(`| \`${code}\` |`)) ?? ''
    const [, , status = ''] = row.split('|')
    t.ok(row, code)
    t.match(status, new RegExp(`\\b${statusCode}\\b|start-up|frame|unsubscribed|4\\d{3}`), `${code}: ${status}`)
    const close = closeCodeOf(new Class())
    if (close !== 1011 && !['FAN_OUT_ERR_FORBIDDEN', 'FAN_OUT_ERR_BROKER_AWAY'].includes(code)) t.match(status, String(close), `${code} closes with ${close}`)
  }
  // And the client's own.
  const known = new Set<string>([...classes.map((Class) => new Class().code), ...['CLOSED', 'ALREADY_JOINED', 'CONNECTION'].map((name) => `FAN_OUT_ERR_${name}`)])
  for (const page of pages) {
    for (const [code] of read(page).matchAll(/FAN_OUT_ERR_[A-Z_]+[A-Z]/g)) t.ok(known.has(code), `${code} in ${page}`)
  }
})

test('every close code stands in the protocol', async (t) => {
  const protocol = read('docs/protocol.md')
  for (const code of new Set(Object.values(errors).map((Class) => closeCodeOf(new Class())))) t.match(protocol, `| ${code} |`)
})

interface Schema { type?: string, properties?: Record<string, Schema>, default?: unknown }

function optionsOf ({ properties = {} }: Schema, path = ''): Array<[name: string, standard: unknown]> {
  return Object.entries(properties).flatMap(([name, schema]) => schema.properties === undefined
    ? [[path + name, schema.default] as [string, unknown]]
    : optionsOf(schema, `${path}${name}.`))
}

test('every option stands in the options, with its default, and no other does', async (t) => {
  const rows = new Map(read('docs/options.md').split('\n').filter((line) => line.startsWith('| `')).map((line) => {
    const [, name = '', standard = ''] = line.split(' | ').map((cell) => cell.replace(/^\| /, ''))
    return [line.split('`')[1] ?? name, standard === '' ? line : line.split(' | ')[1] ?? '']
  }))
  const ours = optionsOf(optionsSchema as Schema).filter(([name]) => !['logLevel', 'logSerializers'].includes(name))
  for (const [name, standard] of ours) {
    const written = rows.get(name)
    t.ok(written !== undefined, name)
    if (typeof standard === 'number') t.match(written, standard.toLocaleString('en'), `${name}: ${written}`)
    else if (typeof standard === 'string' || typeof standard === 'boolean') t.match(written, String(standard), `${name}: ${written}`)
    rows.delete(name)
  }
  t.same([...rows.keys()], [])
})

test('what npm start reads and shows stands in the page of the server', async (t) => {
  const page = read('docs/server.md')
  for (const [name] of VARIABLES) t.match(page, `| \`${name}\` |`)
  const app = await buildServer(readSettings({ FAN_OUT_PUBLISH_KEY: 'key' }))
  t.teardown(() => app.close())
  const { body } = await app.inject('/metrics')
  const names = [...body.matchAll(/^# TYPE (fan_out_\w+)/gm)].map(([, name]) => name as string)
  t.ok(names.length > 5)
  for (const name of names) t.match(page, `| \`${name}`)
})

const headings = (text: string): string[] => [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => (title as string).toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))

test('links lead somewhere, and every page is in the index', async (t) => {
  for (const page of pages) {
    for (const [, link = ''] of read(page).replace(/```[^]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : relative(root, join(root, dirname(page), path))
      if (!existsSync(join(root, target))) t.fail(`${page} links to ${link}`)
      else if (anchor !== undefined) t.ok(headings(read(target)).includes(anchor), `${page} links to ${link}`)
    }
  }
  const index = read('docs/README.md')
  for (const page of pages) if (page.startsWith('docs/') && page !== 'docs/README.md') t.match(index, `(${page.slice('docs/'.length)})`)
})

function blocks (language: string): Array<{ page: string, text: string }> {
  return pages.flatMap((page) => [...read(page).matchAll(/```(\w+)\n([^]*?)```/g)]
    .filter(([, given]) => given === language)
    .map(([, , text]) => ({ page, text: text as string })))
}

test('JSON in the docs is JSON', async (t) => {
  for (const { page, text } of blocks('json')) {
    const values = text.trimStart().startsWith('{"') ? text.trim().split('\n') : [text]
    for (const value of values) t.doesNotThrow(() => JSON.parse(value), `${page}: ${value}`)
  }
})

// What stands around the blocks: what a reader would have by then.
const GIVEN = `
import type { FastifyInstance } from 'fastify'
import type { Server } from 'ws'
import type { BrokerEvents, Cursor, Outgoing, Published, ReadRequest, Window } from './index.js'
import type { Client } from 'fastify-fan-out/client'
import fanOut from './index.js'
import websocket from '@fastify/websocket'
declare const app: FastifyInstance
declare const lastId: string, since: string, signal: AbortSignal
declare const client: Client
declare function getToken (): Promise<string>
declare function show (text: unknown): void
declare function handle (data: unknown): Promise<void>
declare function loadBoard (room: string): Promise<object>
declare function verify (token: string): Promise<{ sub: string, exp: number }>
`

test('TypeScript in the docs compiles', async (t) => {
  const files = new Map(blocks('ts').map(({ page, text }, i) => {
    const given = GIVEN.split('\n').filter((line) => !/^import .*Cursor/.test(line) || text.includes('BrokerEvents'))
      .filter((line) => !/^declare const client/.test(line) || !text.includes('const client')).join('\n')
    return [join(root, `${i}-${page.replaceAll('/', '-')}.ts`), `${given}\n${text}\nexport {}\n`]
  }))
  t.ok(files.size > 10)
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    // As an example may leave a parameter's type to the reader.
    noImplicitAny: false,
    noEmit: true,
    skipLibCheck: true
  }
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name)
  host.readFile = (name) => files.get(name) ?? readFile.call(host, name)
  host.getSourceFile = (name, target) => files.has(name) ? ts.createSourceFile(name, files.get(name) as string, target) : getSourceFile.call(host, name, target)
  const program = ts.createProgram([...files.keys()], options, host)
  for (const name of files.keys()) {
    const problems = ts.getPreEmitDiagnostics(program, program.getSourceFile(name))
    t.same(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')), [], relative(root, name))
  }
})
