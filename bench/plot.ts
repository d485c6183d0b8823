import type { Summary } from './results.js'
import type { Metric } from './workloads/workload.js'
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { number } from './table.js'

const [WIDTH, HEIGHT, LINE] = [720, 400, 14]

// One colour a contestant, the same in all plots (Okabe and Ito's palette); on a broker it is dashed.
const COLORS: Record<string, string> = {
  'fan-out': '#d55e00',
  'floor-batch': '#000000',
  'floor-message': '#999999',
  'fastify-websocket': '#999999',
  'redis-script': '#000000',
  'jetstream-client': '#000000',
  'ws-loop': '#009e73',
  'socket-io': '#0072b2',
  centrifugo: '#cc79a7'
}
const DASHES: Record<string, string> = { redis: '4 3', nats: '1 3', jetstream: '9 3' }
const ON_BROKER = /-(redis|nats|jetstream)$/
const dashesOf = (name: string): string => DASHES[ON_BROKER.exec(name)?.[1] ?? ''] ?? 'none'
const colorOf = (name: string): string => COLORS[name.replace(ON_BROKER, '')] ?? '#56b4e9'

interface Point { size: number, contestant: string, median: number, min: number, max: number }

/** How the first metric of a workload grows with its size, as SVG: the medians, and the spread where there were several rounds. */
export function plot (summary: Summary): string {
  const { workload } = summary
  const [metric, { unit }] = Object.entries(workload.metrics)[0] as [string, Metric]
  const points: Point[] = summary.sizes.flatMap((size) => summary.contestants(size).flatMap((contestant) => {
    const spread = summary.values(size, contestant, metric)
    return spread === undefined ? [] : [{ size, contestant, ...spread }]
  }))
  const { document } = parseHTML('<html></html>')
  const names = [...new Set(points.map(({ contestant }) => contestant))]
  const ends = names.map((name) => points.findLast(({ contestant }) => contestant === name) as Point)
  const lines = names.map((name) => Plot.line(points.filter(({ contestant }) => contestant === name), {
    x: 'size', y: 'median', stroke: colorOf(name), strokeWidth: name.startsWith('fan-out') ? 2.5 : 1.5, strokeDasharray: dashesOf(name)
  }))
  const drawn = Plot.plot({
    document,
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 70,
    marginRight: 140,
    style: { background: 'white', color: 'black', fontFamily: 'sans-serif', fontSize: '12px' },
    x: { type: 'log', label: workload.unit, ticks: summary.sizes, tickFormat: number, domain: [summary.sizes[0], summary.sizes.at(-1)] },
    y: { type: 'log', label: `${metric}, ${unit}`, grid: true, ticks: 5, tickFormat: number },
    marks: [
      ...lines,
      Plot.ruleX(points, { x: 'size', y1: 'min', y2: 'max', stroke: ({ contestant }: Point) => colorOf(contestant) }),
      Plot.dot(points, { x: 'size', y: 'median', r: 3, fill: ({ contestant }: Point) => colorOf(contestant) }),
      Plot.text(ends, Plot.initializer(
        { x: 'size', y: 'median', text: 'contestant', textAnchor: 'start', dx: 8, fill: ({ contestant }: Point) => colorOf(contestant) },
        (data, facets, { y }, scales) => ({ data, facets, channels: { y: { value: apart((y!.value as number[]).map(scales.y as (value: number) => number)) } } })
      ))
    ]
  })
  // In a file of its own it has to say what it is; a page would know.
  const element = drawn as unknown as { setAttribute (name: string, value: string): void, outerHTML: string }
  element.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  return `${element.outerHTML}\n`
}

/** Heights of labels, moved so that none lies on another. */
function apart (heights: number[]): number[] {
  const moved = [...heights]
  const order = heights.map((_, i) => i).sort((a, b) => heights[a]! - heights[b]!)
  for (const [i, label] of order.entries()) if (i > 0) moved[label] = Math.max(moved[label]!, moved[order[i - 1]!]! + LINE)
  // They were only pushed down: what hangs below the last is taken back by half.
  const excess = (moved[order.at(-1)!]! - heights[order.at(-1)!]!) / 2
  return moved.map((height) => height - excess)
}
