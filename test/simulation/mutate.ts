import type { Test } from 'tap'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

/** An error put into a file of lib: `find` stands there exactly once. */
export interface Mutant { what: string, file: string, find: string, replace: string }

/** What a hunt prints: how far it went, and what it found, if anything. */
export interface Found { at: string, wrong?: string | undefined }

/** Of the hunts in `hunt.ts`: in so many schedules, of so many actions at most. */
export const RUNS = 12_000
export const LENGTH = 60

const root = resolve(import.meta.dirname, '../..')
// Each hunt comes to its end long before, however busy the machine is.
const DEADLINE = 100_000

/** A simulation is worth what it finds. Each error is put into a copy of lib, and `hunt` run on it: it has to be found. */
export async function findAll (t: Test, mutants: readonly Mutant[], hunt: string, ...args: number[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'fan-out-mutants-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const [i, { what, file, find, replace }] of mutants.entries()) {
    t.test(what, { timeout: 0, buffered: true }, async (t) => {
      const [before, after, ...more] = (await readFile(join(root, 'lib', file), 'utf8')).split(find)
      if (after === undefined || more.length > 0) return t.fail(`${file} has to say exactly once: ${find}`)
      const copy = join(folder, String(i))
      await mkdir(join(copy, 'test'), { recursive: true })
      await cp(join(root, 'lib'), join(copy, 'lib'), { recursive: true })
      await cp(import.meta.dirname, join(copy, 'test/simulation'), { recursive: true })
      await cp(join(root, 'package.json'), join(copy, 'package.json'))
      await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
      await writeFile(join(copy, 'lib', file), before + replace + after)
      const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', join(copy, 'test/simulation', hunt), ...args.map(String)], {
        cwd: root, timeout: DEADLINE, killSignal: 'SIGKILL', env: { PATH: process.env['PATH'] }
      })
      const { at, wrong } = JSON.parse(stdout) as Found
      t.comment(`${wrong === undefined ? 'NOT found' : 'found'} at ${at}: ${wrong}`)
      t.ok(wrong !== undefined, 'found')
    })
  }
}
