import type { Msg, MsgHdrs } from './connection.js'

const BEGIN = 'NATS/1.0\r\n'
const END = '\r\n\r\n'
const LF = 0x0A

/**
 * Reads headers of a message by their exact names; '' for one that is not there. The client reads all of them into a map,
 * which is most of what a small message costs. So they are looked up where they came, in the buffer before the payload.
 */
export function headersOf (message: Msg): (name: string) => string {
  const text = textBefore(message.data)
  if (text === undefined) return (name) => message.headers?.get(name) ?? ''
  return (name) => {
    const start = text.indexOf(`\r\n${name}:`)
    return start < 0 ? '' : text.slice(start + name.length + 3, text.indexOf('\r\n', start + 2)).trim()
  }
}

/** Undefined where there are none right before the payload. */
function textBefore ({ buffer, byteOffset }: Uint8Array): string | undefined {
  const before = Buffer.from(buffer, 0, byteOffset)
  if (before.toString('latin1', byteOffset - END.length) !== END) return undefined
  const start = before.lastIndexOf(BEGIN, undefined, 'latin1')
  // At the beginning of a line, lest it be the end of a value.
  return start < 0 || (start > 0 && before[start - 1] !== LF) ? undefined : before.toString('utf8', start)
}

/** One header of a message that is sent. The client's own would be checked and copied for each message; of what it is given it calls `encode`, and nothing else. */
export function oneHeader (name: string, value: string): MsgHdrs {
  return { encode: () => Buffer.from(`${BEGIN}${name}: ${value}${END}`) } as unknown as MsgHdrs
}
