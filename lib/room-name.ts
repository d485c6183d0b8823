// Control characters, and surrogates without their other half, which are no UTF-8.
const FORBIDDEN = /[\p{Cc}\p{Cs}]/u

/** Whether `name` can be a room: 1 to 200 bytes of UTF-8 with no control characters. */
export function isRoomName (name: unknown): name is string {
  return typeof name === 'string' && name.length > 0 && name.length <= 200 && Buffer.byteLength(name) <= 200 && !FORBIDDEN.test(name)
}

/** Whether `room` matches a pattern in which `*` stands for any characters, none included. Takes time proportional to both lengths, whatever the pattern. */
export function matchesRoom (pattern: string, room: string): boolean {
  const [first = '', ...pieces] = pattern.split('*')
  const last = pieces.pop()
  if (last === undefined) return pattern === room
  if (!room.startsWith(first) || !room.endsWith(last) || room.length < first.length + last.length) return false
  const end = room.length - last.length
  let at = first.length
  for (const piece of pieces) {
    const found = room.indexOf(piece, at)
    if (found < 0 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}
