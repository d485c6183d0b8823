import fc from 'fast-check'

/** One thing that happens. Numbers are taken modulo how many there are, so that an action means something whatever was left out before it. */
export type Action =
  | { do: 'publish', server: number, answered: boolean }
  | { do: 'compare' | 'hold' | 'deliver' | 'deafen' | 'crash', server: number }
  | { do: 'subscribe', reader: number, server: number }
  | { do: 'drop', reader: number }
  /** Replication: `node` becomes what `from` is. */
  | { do: 'copy', from: number, node: number }
  /** A replica becomes the primary of all. */
  | { do: 'promote', node: number }
  /** One server alone goes to another node, which knows nothing of it: split brain, or an old primary that comes back. */
  | { do: 'point' | 'pointLink', server: number, node: number }
  | { do: 'restart', node: number, lost: number }
  | { do: 'flush' | 'deleteMeta' | 'deleteStream', node: number }

/** As the option `brokerOptions.failover`. */
export type Mode = 'detect' | 'suspect' | 'trust'

/** `modes`: of the servers. */
export interface Schedule { nodes: number, modes: Mode[], readers: number, window: number, actions: Action[] }

const some = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max })
const node = some(2)
const server = some(2)
const reader = some(3)

function action (weight: number, shape: Record<string, fc.Arbitrary<unknown>>): { weight: number, arbitrary: fc.Arbitrary<Action> } {
  return { weight, arbitrary: fc.record(shape) as unknown as fc.Arbitrary<Action> }
}

const harmless = [
  action(30, { do: fc.constant('publish'), server, answered: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }) }),
  action(10, { do: fc.constantFrom('compare', 'hold', 'deliver', 'deafen'), server }),
  action(12, { do: fc.constant('subscribe'), reader, server }),
  action(3, { do: fc.constant('drop'), reader }),
  action(3, { do: fc.constant('restart'), node, lost: fc.constant(0) })
]

const harmful = [
  action(8, { do: fc.constant('copy'), from: node, node }),
  action(6, { do: fc.constant('promote'), node }),
  action(4, { do: fc.constantFrom('point', 'pointLink'), server, node }),
  action(3, { do: fc.constant('restart'), node, lost: some(4) }),
  action(1, { do: fc.constantFrom('flush', 'deleteMeta', 'deleteStream'), node }),
  action(1, { do: fc.constant('crash'), server })
]

/** `lossless`: only what loses nothing. Each server is in one of `modes`. */
export function schedules (length: number, lossless: boolean, modes: readonly Mode[]): fc.Arbitrary<Schedule> {
  return fc.record({
    nodes: fc.constant(3),
    modes: fc.array(fc.constantFrom(...modes), { minLength: 1, maxLength: 3 }),
    readers: fc.integer({ min: 1, max: 4 }),
    window: fc.oneof(fc.constant(100), fc.integer({ min: 1, max: 6 })),
    actions: fc.array(fc.oneof(...harmless, ...(lossless ? [] : harmful)), { minLength: 1, maxLength: length, size: 'max' })
  })
}
