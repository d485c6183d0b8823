import { setTimeout as wait } from 'node:timers/promises'
import { test } from 'tap'
import { entrants } from '../../bench/contestants/index.js'
import { Child } from '../../bench/ipc.js'
import { plot } from '../../bench/plot.js'
import { Summary } from '../../bench/results.js'
import { tables } from '../../bench/table.js'
import { workloads } from '../../bench/workloads/index.js'

test('what is lost or comes twice fails a measurement', async (t) => {
  const load = await Child.start<object>(new URL('../../bench/generator/main.ts', import.meta.url))
  t.teardown(() => load.stop())
  const { contestant } = entrants['floor-batch']!
  const running = await contestant.start({})
  t.teardown(() => running.stop())
  const join = (rooms: string[], messages: number): Promise<unknown> => load.ask({
    ask: 'join',
    ...{ target: { url: running.urls[0], headers: {}, joined: running.socket.joined, smallest: 128 }, clients: [{ ...running.socket.enter(rooms), joins: rooms.length }], inFlight: 1, messages }
  })
  await join(['room'], 0)
  const { path, headers, body } = running.publish('room', ['{"n":1}'])
  await fetch(running.urls[0] + path, { method: 'POST', headers, body })
  // The next client has had none, and all of them together one too many.
  const late = Promise.race([join(['another'], 0).then(() => 'counted right'), wait(500).then(() => 'waits')])
  t.equal(await late, 'waits')
})

test('a plot is an SVG with a line for each contestant, and tables hold ratios of the same round', async (t) => {
  const workload = workloads.find(({ name }) => name === 'batches')!
  const samples = [[100, 0, 10, 20], [1_000, 0, 10, 30], [1_000, 1, 100, 100]].flatMap(([size, round, floor, ours]) => [
    { size: size!, round: round!, contestant: 'floor-batch', measured: { delivered: floor!, perCore: 1 } },
    { size: size!, round: round!, contestant: 'fan-out', measured: { delivered: ours!, perCore: 1 } }
  ])
  const summary = new Summary(workload, samples)
  t.same(summary.ratios(1_000, 'fan-out', 'delivered'), { median: 2, min: 1, max: 3 })
  t.match(tables(summary), /fan-out, delivered: at least 1 of floor-batch +\| +2 \(1–3\) \| yes/)
  const svg = plot(summary)
  t.match(svg, /^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  for (const name of ['floor-batch', 'fan-out']) t.match(svg, `>${name}</text>`)
})
