import { test } from 'tap'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { mutants } from './mutants.js'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

// The simulation is worth what it finds. Each of these errors is put into a copy of the rooms, and has to be found in
// so many schedules, of so many actions at most.
const RUNS = 12_000
const LENGTH = 60
// Each comes to its end long before, however busy the machine is.
const DEADLINE = 100_000

interface Found { failed: boolean, runs: number, actions: number, wrong: string }

async function hunt (folder: string): Promise<Found> {
  const { stdout } = await run(process.execPath, ['--import', 'tsx', join(folder, 'test/simulation/hunt.ts'), String(RUNS), String(LENGTH)], {
    cwd: root,
    timeout: DEADLINE,
    killSignal: 'SIGKILL',
    env: { PATH: process.env.PATH }
  })
  return JSON.parse(stdout)
}

test('the simulation finds what is wrong', { jobs: 2, timeout: 0 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-mutants-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const [i, { what, file, find, replace }] of mutants.entries()) {
    t.test(what, { timeout: 0, buffered: true }, async (t) => {
      const source = await readFile(join(root, 'lib/rooms', file), 'utf8')
      const [before, after, ...more] = source.split(find)
      if (after === undefined || more.length > 0) return t.fail(`${file} has to say exactly once: ${find}`)

      const copy = join(folder, String(i))
      await mkdir(join(copy, 'test'), { recursive: true })
      await cp(join(root, 'lib'), join(copy, 'lib'), { recursive: true })
      await cp(import.meta.dirname, join(copy, 'test/simulation'), { recursive: true })
      await cp(join(root, 'package.json'), join(copy, 'package.json'))
      await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
      await writeFile(join(copy, 'lib/rooms', file), before + replace + after)
      const found = await hunt(copy)
      t.comment(`${found.failed ? 'found' : 'NOT found'} at schedule ${found.runs}, of ${found.actions} actions: ${found.wrong}`)
      t.ok(found.failed, `found within ${RUNS} schedules`)
    })
  }
})
