import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { test } from 'tap'

const root = join(import.meta.dirname, '../..')
const NEEDED = ['client', 'lib', 'types', 'index.ts', 'package.json', 'tsconfig.json', 'test/client', 'test/faults/oracle.ts', 'test/helpers.ts']
// In ms: each is found long before, most in the first round.
const TIME = 25_000

/** An error put into a file of the client: `find` stands there exactly once. */
interface Mutant { what: string, file: string, find: string, replace: string }

const mutants: Mutant[] = [
  { what: 'a repeat is told', file: 'room.ts', find: "(type === 'message' && this.#had(id)) || ", replace: '' },
  { what: 'the cursor is not kept over a break', file: 'room.ts', find: 'this.#owed = this.#held = undefined', replace: 'this.#owed = this.#held = this.id = undefined' },
  { what: 'a gap that is owed is not told', file: 'room.ts', find: "this.#gap({ type: 'gap', room: this.name, id: this.#owed, reason: 'expired' })", replace: 'this.#owed = undefined' },
  { what: 'a resume from elsewhere is believed', file: 'room.ts', find: 'else if (!recovered || id !== this.id)', replace: 'else if (!recovered)' },
  { what: 'what comes while a hole is filled is told at once', file: 'room.ts', find: 'if (this.#held) this.#held.push(frame)\n      else this.#obey(frame)', replace: 'this.#obey(frame)' },
  { what: 'what came while a hole was filled is thrown away', file: 'room.ts', find: 'for (const frame of held) this.take(frame)', replace: '' },
  { what: 'a hole that could not be filled is forgotten', file: 'room.ts', find: 'if (!whole) this.#gap(gap)', replace: '' },
  { what: 'rooms are not joined again', file: 'client.ts', find: 'for (const room of this.#rooms.values()) link.send(room.subscribe())', replace: '' },
  { what: 'what was published is not sent again', file: 'client.ts', find: 'for (const { frame } of this.#publishes.values()) link.send(frame)', replace: '' },
  { what: 'what is sent again has another key', file: 'client.ts', find: 'for (const { frame } of this.#publishes.values()) link.send(frame)', replace: 'for (const { frame } of this.#publishes.values()) link.send({ ...frame, idempotencyKey: newKey() })' },
  { what: 'silence is not noticed', file: 'websocket-link.ts', find: "else if (quiet > heartbeat) lost({ code: 1006, reason: 'silent' })", replace: '' },
  { what: 'the end of a stream is not noticed', file: 'event-streams.ts', find: "throw new Error('the stream has ended')", replace: '' }
]

// A test by chance is worth what it finds.
test('the property test finds what is wrong', { jobs: 3, timeout: 0 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-client-mutants-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const [i, { what, file, find, replace }] of mutants.entries()) {
    t.test(what, { timeout: 0, buffered: true }, async (t) => {
      const [before, after, ...more] = (await readFile(join(root, 'client', file), 'utf8')).split(find)
      if (after === undefined || more.length > 0) return t.fail(`${file} has to say exactly once: ${find}`)
      const copy = join(folder, String(i))
      for (const name of NEEDED) {
        await mkdir(dirname(join(copy, name)), { recursive: true })
        await cp(join(root, name), join(copy, name), { recursive: true })
      }
      await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
      await writeFile(join(copy, 'client', file), before + replace + after)
      const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', join(copy, 'test/client/flaky/hunt.ts'), '1', String(TIME)], { cwd: root, timeout: 3 * TIME, env: { PATH: process.env['PATH'] } })
      const { at, wrong } = JSON.parse(stdout) as { at: string, wrong?: string }
      t.comment(`${wrong === undefined ? 'NOT found' : 'found'} at ${at}: ${wrong}`)
      t.ok(wrong !== undefined, 'found')
    })
  }
})
