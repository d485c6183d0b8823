import type { Packet, Reader } from './proxy.js'

const LINE_END = '\r\n'

/** NATS has one connection for everything, so that what comes on it has to be told apart by its subjects. */
export class NatsReader implements Reader {
  readonly live = true
  readonly commands = true
  readonly #messages: RegExp
  #rest: Buffer = Buffer.alloc(0)

  /** `messages` are the subjects of what is sent to rooms. */
  constructor (messages: RegExp) {
    this.#messages = messages
  }

  sent (): void {}

  received (data: Buffer): Packet[] {
    const all = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data])
    const packets: Packet[] = []
    let start = 0
    for (;;) {
      const lineEnd = all.indexOf(LINE_END, start)
      if (lineEnd < 0) break
      // MSG|HMSG <subject> <sid> [reply] [size of headers] <size>; all else is a line of its own.
      const words = all.toString('latin1', start, lineEnd).split(' ')
      const hasPayload = words[0] === 'MSG' || words[0] === 'HMSG'
      const end = lineEnd + LINE_END.length + (hasPayload ? Number(words.at(-1)) + LINE_END.length : 0)
      if (end > all.length) break
      packets.push({ data: all.subarray(start, end), kind: hasPayload ? this.#kindOf(words) : words[0] === 'PONG' ? 'reply' : 'other' })
      start = end
    }
    this.#rest = all.subarray(start)
    return packets
  }

  #kindOf ([, subject = '', ...words]: string[]): Packet['kind'] {
    if (this.#messages.test(subject)) return 'message'
    // What a consumer sends keeps the subject that it is stored under.
    return subject.startsWith('_INBOX') || words.some((word) => word.startsWith('$JS.ACK.')) ? 'reply' : 'other'
  }
}
