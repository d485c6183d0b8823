import type { Mutant } from './mutate.js'

export const mutants: Mutant[] = [
  {
    what: 'what came while the room was joining is thrown away',
    file: 'rooms/room.ts',
    find: 'for (const message of this.#takeInbox()) this.receive(message)\n',
    replace: 'this.#takeInbox()\n'
  },
  {
    what: 'the merge is off by one',
    file: 'rooms/run.ts',
    find: 'if (id.epoch === cursor.epoch) return low + 1',
    replace: 'if (id.epoch === cursor.epoch) return low'
  },
  {
    what: 'the merge does not look at epochs',
    file: 'rooms/run.ts',
    find: 'if (id.epoch === cursor.epoch) return low + 1',
    replace: 'return low + 1'
  },
  {
    what: 'the base of the tail is one too far after an eviction',
    file: 'rooms/run.ts',
    find: 'this.base = (this.entries[count - 1] as Entry).id',
    replace: 'this.base = (this.entries[count] as Entry).id'
  },
  {
    what: 'the tail is kept over a gap',
    file: 'rooms/room.ts',
    find: '    this.#position = position\n    this.#tail = undefined',
    replace: '    this.#position = position'
  },
  {
    what: 'a doubt is not heard',
    file: 'rooms/rooms.ts',
    find: '    this.#comparison.doubt(rooms)\n',
    replace: ''
  },
  {
    what: 'a doubt is forgotten where the comparison fails',
    file: 'rooms/comparison.ts',
    find: 'for (const room of rooms) if (!room.closed) this.#doubted.add(room)',
    replace: ''
  },
  {
    what: 'a room that is being repaired is not compared afterwards',
    file: 'rooms/comparison.ts',
    find: 'const rooms = [...this.#doubted].filter((room) => room.whole)',
    replace: 'const rooms = [...this.#doubted]'
  },
  {
    what: 'quiet rooms are not compared',
    file: 'rooms/rooms.ts',
    find: 'if (now - room.heard >= COMPARE) quiet.push(room)',
    replace: ''
  },
  {
    what: 'a message is accepted wherever the room stands',
    file: 'rooms/room.ts',
    find: 'if (this.#whole && sameCursor(message.previous, this.#position)) {',
    replace: 'if (this.#whole) {'
  },
  {
    what: 'a repeat is taken for a hole',
    file: 'rooms/room.ts',
    find: 'if (this.#whole && notAfter(message.id, this.#position)) return // a repeat',
    replace: ''
  },
  {
    what: 'later messages that do not connect after a repair are dropped',
    file: 'rooms/room.ts',
    find: 'this.#inbox = inbox.slice(index)\n        return false',
    replace: 'continue'
  },
  {
    what: 'messages of a history that is no more are waited for',
    file: 'rooms/room.ts',
    find: 'index >= known && !notAfter',
    replace: '!notAfter'
  },
  {
    what: 'it is forgotten that the inbox overflowed',
    file: 'rooms/room.ts',
    find: 'else this.#inboxLost = true',
    replace: ''
  },
  {
    what: 'a repair ends with the first page',
    file: 'rooms/room.ts',
    find: 'if (window.more) continue',
    replace: 'if (window.more) break'
  },
  {
    what: 'a room does not go over to an epoch that began without a loss',
    file: 'rooms/room.ts',
    find: 'if (!notAfter(window.position, this.#position)) this.#moveTo(window.position)',
    replace: ''
  },
  {
    what: 'a repair waits for an answer for ever',
    file: 'rooms/room.ts',
    find: 'return await this.host.inTime(this.host.broker.read(this.name, { since: this.#position, limit: this.host.limits.page }))',
    replace: 'return await this.host.broker.read(this.name, { since: this.#position, limit: this.host.limits.page })'
  },
  {
    what: 'a gap is swallowed',
    file: 'rooms/room.ts',
    find: '      this.delivery.push(entry)\n      this.#moveTo(entry.id)',
    replace: '      this.#moveTo(entry.id)'
  },
  {
    what: 'who becomes live is given what it has',
    file: 'rooms/delivery.ts',
    find: '    this.close()\n    return this.#closed',
    replace: '    return this.#closed'
  },
  {
    what: 'who was too slow goes on from where it was before',
    file: 'rooms/delivery.ts',
    find: '        subscriber.position = batch.end\n',
    replace: ''
  },
  {
    what: 'who was too slow stays live',
    file: 'rooms/delivery.ts',
    find: '        subscriber.liveFrom = undefined\n',
    replace: ''
  },
  {
    what: 'who was too slow goes on from where the room stands by now',
    file: 'rooms/delivery.ts',
    find: 'subscriber.position = batch.end',
    replace: 'subscriber.position = this.#room.position'
  },
  {
    what: 'who becomes live in the middle of a round is given it',
    file: 'rooms/delivery.ts',
    find: 'if (subscriber.liveFrom === undefined || subscriber.liveFrom > number) continue',
    replace: 'if (subscriber.liveFrom === undefined) continue'
  },
  {
    what: 'each slice of a round begins it anew',
    file: 'rooms/delivery.ts',
    find: 'round.rest ??= ',
    replace: 'round.rest = '
  },
  {
    what: 'a slice is the last of its round',
    file: 'rooms/delivery.ts',
    find: '      if (budget > 0) this.#rounds.shift()',
    replace: '      this.#rounds.shift()'
  },
  {
    what: 'a room that has more to flush waits for its next message',
    file: 'rooms/rooms.ts',
    find: '[...waiting, ...unfinished]',
    replace: 'waiting'
  },
  {
    what: 'an old backlog answers a resume',
    file: 'rooms/catch-up.ts',
    find: 'let found = this.#findAll(room, since)',
    replace: 'let found = this.#find(room, since, false)'
  },
  {
    what: 'the limit on replay hides that history was rewritten',
    file: 'rooms/catch-up.ts',
    find: "lost?.reason ?? 'overflow'",
    replace: "'overflow'"
  },
  {
    what: 'a gap in the replay does not count as one',
    file: 'rooms/catch-up.ts',
    find: "recovered: !rest.some((entry) => entry.type === 'gap')",
    replace: 'recovered: true'
  },
  {
    what: 'no snapshot after a gap in the replay',
    file: 'rooms/catch-up.ts',
    find: "owesSnapshot = written === 'gap' && room.host.snapshot !== undefined",
    replace: 'owesSnapshot = false'
  },
  {
    what: 'a room that nobody wants stays subscribed at the broker',
    file: 'rooms/rooms.ts',
    find: '    this.broker.unsubscribe(room.name).catch(',
    replace: '    Promise.resolve().catch('
  }
]
