/** Stands once in every message's data, and in nothing else that a server sends or is sent. */
export const MARKER = Buffer.from('"n":')

/** Messages are numbered from here, so that all numbers have as many digits. */
export const FIRST = 100_000_000

/** The JSON text of a message's data, of so many bytes. */
export function message (bytes: number): string {
  const frame = JSON.stringify({ n: FIRST, pad: '' })
  return JSON.stringify({ n: FIRST, pad: 'x'.repeat(bytes - frame.length) })
}
