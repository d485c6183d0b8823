import type { Spread, Summary } from './results.js'
import type { Goal } from './workloads/workload.js'

const CORES = { server: 'server', generator: 'generator' }

/** A workload's figures as Markdown that can be read as it is. */
export function tables (summary: Summary): string {
  const { workload } = summary
  const parts = [`### ${workload.name}\n\n${workload.title}.`]
  for (const size of summary.sizes) parts.push(`${number(size)} ${workload.unit}:\n\n${figures(summary, size)}`)
  const goals = workload.goals.flatMap((goal) => goalRow(summary, goal))
  if (goals.length > 0) parts.push(`Goals, at ${number(workload.goalSize)} ${workload.unit}:\n\n${table([['goal', 'measured', 'met'], ...goals])}`)
  return parts.join('\n\n') + '\n'
}

function figures (summary: Summary, size: number): string {
  const { metrics, reference } = summary.workload
  const [first] = Object.keys(metrics) as [string]
  const names = summary.contestants(size)
  const cores = names.some((name) => summary.values(size, name, 'server') !== undefined)
  const head = [
    'contestant',
    `of ${reference === 'first size' ? 'its first size' : summary.first}`,
    ...Object.entries(metrics).map(([name, { unit }]) => `${name}, ${unit}`),
    ...cores ? ['cores: servers', 'generator'] : []
  ]
  return table([head, ...names.map((name) => [
    name,
    ratio(summary.ratios(size, name, first)),
    ...Object.keys(metrics).map((metric) => number(summary.values(size, name, metric)?.median)),
    ...cores ? Object.keys(CORES).map((metric) => number(summary.values(size, name, metric)?.median)) : []
  ])])
}

function goalRow (summary: Summary, goal: Goal): string[][] {
  const achieved = summary.achieved(goal)
  if (achieved === undefined) return []
  const { of, metric, to } = goal
  const [word, bound, met] = 'atLeast' in goal ? ['at least', goal.atLeast, achieved.median >= goal.atLeast] : ['at most', goal.atMost, achieved.median <= goal.atMost]
  const whose = to === undefined ? summary.workload.reference === 'first size' ? ' of its first size' : ` ${summary.workload.metrics[metric]?.unit}` : ` of ${to}`
  return [[`${of}, ${metric}: ${word} ${number(bound)}${whose}`, ratio(achieved), met ? 'yes' : 'no']]
}

/** The median, and the least and the most of the rounds. */
function ratio (value: Spread | undefined): string {
  if (value === undefined) return '-'
  return value.min === value.max ? number(value.median) : `${number(value.median)} (${number(value.min)}–${number(value.max)})`
}

/** Three digits that count. */
export function number (value: number | undefined): string {
  if (value === undefined) return '-'
  return value.toLocaleString('en', value < 1_000 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 0 })
}

/** Rows as a Markdown table, its columns under each other. */
function table (rows: string[][]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  const line = (row: string[]): string => `| ${row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(' | ')} |`
  const [head, ...rest] = rows as [string[], ...string[][]]
  const rule = `| ${widths.map((width, i) => i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`).join(' | ')} |`
  return [line(head), rule, ...rest.map(line)].join('\n')
}
