import type { Mutant } from '../mutate.js'

export const mutants: Mutant[] = [
  {
    what: 'a number that comes twice is delivered twice',
    file: 'brokers/numbered.ts',
    find: 'if (known !== undefined && id.offset <= known.last) {',
    replace: 'if (known !== undefined && id.offset < 0) {'
  },
  {
    what: 'a number that was left out is not noticed',
    file: 'brokers/numbered.ts',
    find: 'if (due > (known?.last ?? 0) &&',
    replace: "if (kind === 'c' && due > (known?.last ?? 0) &&"
  },
  {
    what: 'a count above what was heard is not noticed',
    file: 'brokers/numbered.ts',
    find: "const due = kind === 'c' ? id.offset : id.offset - 1",
    replace: "const due = kind === 'c' ? 0 : id.offset - 1"
  },
  {
    what: 'a server that was not heard before is believed',
    file: 'brokers/numbered.ts',
    find: '&& (heardSince || dueSince)',
    replace: '&& heardSince'
  },
  {
    what: 'a server that was not heard before is never believed',
    file: 'brokers/numbered.ts',
    find: '&& (heardSince || dueSince)',
    replace: ''
  },
  {
    what: 'a number that was given up is used again',
    file: 'brokers/numbered.ts',
    find: 'return batch.map(() => error as Error)',
    replace: 'numbered = false\n      return batch.map(() => error as Error)'
  },
  {
    what: 'a broken link is no loss',
    file: 'brokers/numbered.ts',
    find: 'standing.since = this.#scheduler.now()\n    this.#lose(room, standing)',
    replace: 'standing.since = this.#scheduler.now()'
  },
  {
    what: 'what comes before the link is mended is taken as if nothing had been lost',
    file: 'brokers/numbered.ts',
    find: 'if (standing.torn) this.#comeBack(room, standing)\n    const',
    replace: 'const'
  },
  {
    what: 'a tail without an order is searched as if it had one',
    file: 'rooms/room.ts',
    find: 'host.broker.windowless !== true',
    replace: 'true'
  },
  {
    what: 'who comes back is taken for one who missed nothing',
    file: 'rooms/catch-up.ts',
    find: 'if (broker.windowless === true) return this.#startHere(room, from)\n',
    replace: ''
  }
]
