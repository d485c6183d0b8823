import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { test } from 'tap'
import { mutants } from './windowless/mutants.js'
import { simulate } from './windowless/simulate.js'

const root = resolve(import.meta.dirname, '../..')
// `SIMULATION_SEED=<seed>`, as a failure prints it, runs the same again.
const { WINDOWLESS_RUNS = '800', SIMULATION_SEED } = process.env
// In so many each mutant has to be found.
const RUNS = 2_000

test('brokers without a window, and the rooms on them, lose nothing in silence, whatever happens', { timeout: 0 }, async (t) => {
  const first = SIMULATION_SEED === undefined ? 1 : Number(SIMULATION_SEED)
  const last = SIMULATION_SEED === undefined ? Number(WINDOWLESS_RUNS) : first
  for (let seed = first; seed <= last; seed++) {
    const failure = await simulate(seed)
    if (failure === undefined) continue
    t.comment(`SIMULATION_SEED=${seed}`)
    t.comment(failure.story.join('\n'))
    return t.fail(failure.wrong)
  }
  t.pass(`nothing is wrong, seeds ${first} to ${last}`)
})

test('the simulation finds what is wrong', { jobs: 2, timeout: 0 }, async (t) => {
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
      const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', join(copy, 'test/simulation/windowless/hunt.ts'), String(RUNS)], {
        cwd: root, timeout: 100_000, killSignal: 'SIGKILL', env: { PATH: process.env['PATH'] }
      })
      const { seed, wrong } = JSON.parse(stdout) as { seed: number, wrong?: string }
      t.comment(`${wrong === undefined ? 'NOT found' : 'found'} at seed ${seed}: ${wrong}`)
      t.ok(wrong !== undefined, `found within ${RUNS} runs`)
    })
  }
})
