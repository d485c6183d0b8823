import { errors } from '../../errors.js'

/**
 * A room's name as one token of a subject: letters, digits, `_` and `-` are kept, and every other byte of its UTF-8 is
 * written `=XX`. So no two rooms have one token, and none has `.`, `*`, `>`, `$` or `~` in it, whatever it is called.
 */
export function encodeRoom (room: string): string {
  return room.replace(/[^A-Za-z0-9_-]+/g, (text) => Buffer.from(text).toString('hex').toUpperCase().replace(/../g, '=$&'))
}

/** The room whose token this is; `undefined` for a token that is no room's. */
export function decodeRoom (token: string): string | undefined {
  if (!/^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/.test(token)) return undefined
  const room = token.replace(/(?:=..)+/g, (bytes) => Buffer.from(bytes.replaceAll('=', ''), 'hex').toString())
  // What is no UTF-8, and what need not have been written as bytes, is nobody's.
  return encodeRoom(room) === token ? room : undefined
}

/** What all subjects begin with, from `brokerOptions.keyPrefix`: tokens between dots, each encoded as a room is. */
export function encodePrefix (keyPrefix: string): string {
  const tokens = keyPrefix.split('.')
  if (tokens.includes('')) throw new errors.InvalidOption('brokerOptions.keyPrefix: on NATS it is the beginning of subjects, with something before and after each dot')
  return tokens.map(encodeRoom).join('.')
}
