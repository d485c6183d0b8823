import type { Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { RedisCluster } from '../redis-cluster.js'

/** Runs a program of `fixtures/`; `idle` is how long it went on, in ms, after it had said "closed". */
async function run (t: Test, name: string, args: string[], ready = () => {}): Promise<{ code: number | null, output: string, idle: number }> {
  const child = spawn(process.execPath, ['--import=tsx', fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url)), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  let closed = 0
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk)
      if (output === 'ready\n') ready()
      if (closed === 0 && output.includes('closed\n')) closed = performance.now()
    })
  }
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
  const [code] = await once(child, 'close') as [number | null]
  clearTimeout(late)
  return { code, output, idle: performance.now() - closed }
}

for (const mode of ['close', 'drain', 'both']) {
  test(`after app.close() nothing keeps the process alive (${mode})`, async (t) => {
    const { code, output, idle } = await run(t, 'everything', [mode])
    t.equal(code, 0, output)
    t.match(output, /closed\n$/)
    t.ok(idle < 4_500, `${idle} ms`)
  })
}

test('nor where the broker never answered', async (t) => {
  const wait = await run(t, 'hanging', ['wait'])
  t.equal(wait.code, 0)
  t.match(wait.output, /^the broker is away: it was not reached within 200 ms\nclosed\n$/)
  t.ok(wait.idle < 4_500)
  const background = await run(t, 'hanging', ['background'])
  t.equal(background.code, 0)
  t.match(background.output, /^registered\nclosed\n$/)
  t.ok(background.idle < 4_500, `${background.idle} ms`)
})

test('nor where a Cluster does not answer where its slots are', async (t) => {
  const cluster = await RedisCluster.start(t, { replicas: 0 })
  t.teardown(() => { for (const node of cluster.nodes) node.resume() })
  const url = `redis://${cluster.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}?cluster=true`
  // Too short for a link to be cut.
  const pause = (): void => { setTimeout(() => { for (const node of cluster.nodes) node.pause() }, 4_300) }
  const { code, output, idle } = await run(t, 'cluster', [url], pause)
  t.equal(code, 0, output)
  t.ok(idle < 8_000, `${idle} ms`)
})
