// Repeats what failed in the logs that are named: each failed test with the path to it and its diagnostics; and
// where none failed in a log, or a whole file did (it timed out, it crashed), what was printed last before.
import { readFileSync } from 'node:fs'
import { argv } from 'node:process'

const EACH = 60
const ALL = 400
const WIDTH = 400

const last = (lines) => lines.slice(-EACH)

/** The YAML block that follows a test's line, cut short. */
function diagnostics (lines, at, indent) {
  const margin = indent + '  '
  if (lines[at + 1] !== margin + '---') return []
  const end = lines.indexOf(margin + '...', at)
  const block = lines.slice(at + 1, end < 0 ? lines.length : end + 1)
  return block.length > EACH ? [...block.slice(0, EACH), `${margin}(${block.length - EACH} more lines)`] : block
}

/** The failed tests of tap's stream, without those that failed only because one within them did. */
function failures (lines) {
  const found = []
  let path = []
  // How deep the failed test was that was last told of: the tests around it say "not ok" after it, one by one.
  let told = 0
  for (const [at, line] of lines.entries()) {
    const [, indent, subtest, failed, name] = /^( *)(?:(# Subtest: )|(not ok) \d+(?: - )?)(.*)$/.exec(line) ?? []
    if (indent === undefined || indent.length % 4 !== 0) continue
    const depth = indent.length / 4
    if (subtest !== undefined) {
      path = [...path.slice(0, depth), name]
      told = Math.min(told, depth)
    } else if (failed !== undefined && !/ # (TODO|SKIP)\b/i.test(name)) {
      if (told <= depth) {
        const before = depth === 0 ? ['before it:', ...last(lines.slice(0, at))] : []
        found.push([[...path.slice(0, depth), name].join(' > '), ...diagnostics(lines, at, indent), ...before])
      }
      told = depth
    }
  }
  return found
}

const output = argv.slice(2).flatMap((log) => {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n')
  const found = failures(lines)
  if (found.length === 0) return ['', `${lines[0]}: no test, but it ended with`, ...last(lines)]
  return ['', `${lines[0]}: what failed`, ...found.flatMap(([name, ...rest]) => ['', `not ok: ${name}`, ...rest])]
})
console.log(output.slice(0, ALL).map((line) => line.slice(0, WIDTH)).join('\n'))
if (output.length > ALL) console.log(`(${output.length - ALL} more lines)`)
