import type { Measures } from './measures.js'
import UPlot from 'uplot'
import { find } from './dom.js'

const barsOf = UPlot.paths.bars!
const SECONDS = 60
const HEIGHT = 112
// What is at least drawn, so that a quiet second does not look like a storm.
const LEAST = { rate: 5, latency: 10 }

type Column = Array<number | null>

/** Two plots of the last minute. A canvas says nothing to those who do not see it, so the figures stand above it as text. */
export class Plots {
  readonly #measures: Measures
  readonly #seconds = Array.from({ length: SECONDS + 1 }, (_, index) => index - SECONDS)
  readonly #rate: Column = this.#seconds.map(() => null)
  readonly #median: Column = this.#seconds.map(() => null)
  readonly #slowest: Column = this.#seconds.map(() => null)
  #drawn: UPlot[] = []

  constructor (measures: Measures) {
    this.#measures = measures
    this.#draw()
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw())
    new ResizeObserver(() => {
      for (const plot of this.#drawn) plot.setSize({ width: widthOf(plot.root.parentElement!), height: HEIGHT })
    }).observe(find('plots', HTMLElement))
    setInterval(() => this.#tick(), 1000)
  }

  #tick (): void {
    const { rate, median, slowest } = this.#measures.take()
    for (const [column, value] of [[this.#rate, rate], [this.#median, median], [this.#slowest, slowest]] as const) {
      column.shift()
      column.push(value ?? null)
    }
    find('rate', HTMLElement).textContent = `${rate} a second`
    if (median !== undefined && slowest !== undefined) find('latency', HTMLElement).textContent = `median ${inMs(median)}, slowest ${inMs(slowest)}`
    this.#drawn[0]?.setData([this.#seconds, this.#rate])
    this.#drawn[1]?.setData([this.#seconds, this.#slowest, this.#median])
  }

  #draw (): void {
    for (const plot of this.#drawn) plot.destroy()
    const ink = colour('--accent')
    const bars = barsOf({ size: [0.75] })
    this.#drawn = [
      plot('rate-plot', LEAST.rate, [this.#seconds, this.#rate], [{ stroke: ink, fill: ink, paths: bars, points: { show: false } }]),
      plot('latency-plot', LEAST.latency, [this.#seconds, this.#slowest, this.#median], [
        { stroke: colour('--wait'), width: 1.5, points: { show: true, size: 4, fill: colour('--wait') } },
        { stroke: ink, width: 1.5, points: { show: true, size: 4, fill: ink } }
      ])
    ]
  }
}

function plot (id: string, least: number, data: [number[], ...Column[]], series: UPlot.Series[]): UPlot {
  const parent = find(id, HTMLElement)
  const look = { stroke: colour('--soft'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } }
  return new UPlot({
    width: widthOf(parent),
    height: HEIGHT,
    padding: [8, 14, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [-SECONDS, 0.5] }, y: { range: (_plot, _min, max) => [0, Math.max(least, (max ?? 0) * 1.1)] } },
    axes: [
      { ...look, size: 22, gap: 4, grid: { show: false }, splits: [-60, -40, -20, 0], values: (_plot, splits) => splits.map((second) => second === 0 ? 'now' : `${second} s`) },
      { ...look, size: 46, gap: 6, space: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5], values: (_plot, splits) => splits.map((value) => value.toLocaleString('en')) }
    ],
    series: [{}, ...series]
  }, data, parent)
}

function widthOf (element: HTMLElement): number {
  return Math.max(120, element.clientWidth)
}

function colour (name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

function inMs (time: number): string {
  return time < 1000 ? `${time < 10 ? time.toFixed(1) : Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`
}
