import { isUtf8 } from 'node:buffer'
import { errors } from './errors.js'

/**
 * A message's data travels as the text it was published as: parsing and writing it again would turn 1.0 into 1, and
 * 12345678901234567890 into another number. Where it stands inside a larger JSON text, the functions below cut it out
 * of that text. They take only what JSON.parse has accepted, and so need not look for mistakes.
 */
export interface JsonText {
  text: string
  value: unknown
}

/** Decodes and parses. Throws FAN_OUT_ERR_INVALID_JSON. */
export function parseJson (source: Buffer | string): JsonText {
  if (typeof source !== 'string' && !isUtf8(source)) throw new errors.InvalidJson('it is not UTF-8')
  const text = source.toString()
  try {
    return { text, value: JSON.parse(text) }
  } catch (error) {
    // The parser's message quotes the text, which is not ours to repeat in a log.
    const position = /at position \d+/.exec((error as Error).message)
    throw new errors.InvalidJson(text === '' ? 'it is empty' : `it does not parse${position === null ? '' : ` ${position[0]}`}`)
  }
}

/** The same JSON without line breaks, as an event stream needs it: outside of strings they are mere white space, and inside JSON has none. */
export function oneLine (text: string): string {
  return text.replace(/[\r\n]+/g, ' ').trim()
}

/** The raw text of each member's value of a JSON object. Of equal names the last counts, as in JSON.parse. */
export function rawMembers (text: string): Map<string, string> {
  const members = new Map<string, string>()
  let at = skipSpace(text, skipSpace(text, 0) + 1)
  while (text[at] !== '}') {
    const nameEnd = skipString(text, at)
    const name = JSON.parse(text.slice(at, nameEnd)) as string
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1)
    const end = skipValue(text, start)
    members.set(name, text.slice(start, end))
    at = skipSeparator(text, end)
  }
  return members
}

/** The raw text of each element of a JSON array. */
export function rawElements (text: string): string[] {
  const elements: string[] = []
  let at = skipSpace(text, skipSpace(text, 0) + 1)
  while (text[at] !== ']') {
    const end = skipValue(text, at)
    elements.push(text.slice(at, end))
    at = skipSeparator(text, end)
  }
  return elements
}

function skipSpace (text: string, at: number): number {
  while (text.charCodeAt(at) <= 0x20) at++
  return at
}

/** To the next member or element, or to the closing bracket. */
function skipSeparator (text: string, at: number): number {
  at = skipSpace(text, at)
  return text[at] === ',' ? skipSpace(text, at + 1) : at
}

/** From the opening quote to behind the closing one. */
function skipString (text: string, at: number): number {
  for (let quote = text.indexOf('"', at + 1); ; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0
    while (text[quote - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return quote + 1
  }
}

const PUNCTUATION = /["{}[\]]/g
const END_OF_SCALAR = /[\s,\]}]|$/g

function skipValue (text: string, at: number): number {
  if (text[at] === '"') return skipString(text, at)
  if (text[at] !== '{' && text[at] !== '[') return indexOfPattern(END_OF_SCALAR, text, at)
  let depth = 0
  do {
    at = indexOfPattern(PUNCTUATION, text, at)
    const character = text[at] as string
    if (character === '"') {
      at = skipString(text, at)
    } else {
      depth += character === '{' || character === '[' ? 1 : -1
      at++
    }
  } while (depth > 0)
  return at
}

function indexOfPattern (pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(text)?.index ?? text.length
}
