import fc from 'fast-check'

/** The size of things: small, so that every bound is met often. */
export interface Setting {
  servers: number
  rooms: number
  clients: number
  /** Messages that the broker retains. */
  window: number
  /** Messages that a tail holds. */
  tail: number
  /** How long a tail holds them, in ms. */
  age: number
  inbox: number
  /** Writes at the end of one turn. */
  slice: number
  /** How many messages fewer than the window one read brings. */
  page: number
  replay: number | undefined
  snapshots: boolean
  /** What is kept of the troubles: none of them; those that are told by a doubt, or shown by the next message; or all. */
  troubles: 'none' | 'told' | 'shown' | 'all'
  chance: number
}

/**
 * One thing that happens. Numbers that name a server, a room or a client are taken modulo how many there are, so that
 * an action means something whatever was left out before it.
 */
export type Action = { wait: number } & (
  | { do: 'publish', server: number, room: number, count: number }
  | { do: 'subscribe', client: number, server: number, from: 'none' | 'earliest' | 'last' | 'again' | 'earlier' | 'ahead' | 'forged', n: number, abort: number | undefined }
  | { do: 'herd', server: number }
  | { do: 'drop' | 'stall' | 'block' | 'take', client: number }
  | { do: 'pace', client: number, ms: number }
  | { do: 'nothing' }
  | { do: 'fault', server: number, call: 'subscribe' | 'publish' | 'read' | 'positions', kind: 'refused' | 'unanswered' | 'silent' | 'late', delay: number, left: number }
  | { do: 'cut', server: number, late: boolean, mend: number }
  | { do: 'skip' | 'repeat' | 'restart', server: number }
  | { do: 'lag', server: number, ms: number }
  | { do: 'forget', room: number, keep: number }
  | { do: 'reset', room: number, doubt: boolean }
  | { do: 'fork', room: number, lost: number, flagged: boolean, doubt: boolean }
)

const some = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max })
const wait = fc.oneof({ weight: 6, arbitrary: some(4) }, { weight: 2, arbitrary: some(60) }, { weight: 1, arbitrary: some(5_000) })

function action<T extends object> (weight: number, shape: { [K in keyof T]: fc.Arbitrary<T[K]> }): { weight: number, arbitrary: fc.Arbitrary<T & { wait: number }> } {
  return { weight, arbitrary: fc.record({ ...shape, wait }) as unknown as fc.Arbitrary<T & { wait: number }> }
}

const server = some(2)
const room = some(1)
const client = some(4)

const anyAction = fc.oneof(
  action(32, { do: fc.constant('publish'), server, room, count: fc.integer({ min: 1, max: 3 }) }),
  action(24, { do: fc.constant('subscribe'), client, server, from: fc.constantFrom('again', 'again', 'again', 'again', 'none', 'earliest', 'last', 'earlier', 'ahead', 'forged'), n: some(6), abort: fc.option(some(4), { freq: 8, nil: undefined }) }),
  action(4, { do: fc.constant('herd'), server }),
  action(8, { do: fc.constantFrom('drop', 'stall', 'block', 'take'), client }),
  action(4, { do: fc.constant('pace'), client, ms: some(8) }),
  action(4, { do: fc.constant('nothing') }),
  action(8, { do: fc.constant('fault'), server, call: fc.constantFrom('read', 'subscribe', 'positions', 'publish'), kind: fc.constantFrom('refused', 'unanswered', 'silent', 'late'), delay: fc.oneof(some(30), some(4_000)), left: fc.integer({ min: 1, max: 3 }) }),
  action(4, { do: fc.constant('cut'), server, late: fc.boolean(), mend: fc.oneof(some(20), some(3_000)) }),
  action(4, { do: fc.constantFrom('skip', 'repeat'), server }),
  action(4, { do: fc.constant('lag'), server, ms: some(40) }),
  action(4, { do: fc.constant('forget'), room, keep: some(3) }),
  action(2, { do: fc.constant('reset'), room, doubt: fc.boolean() }),
  action(4, { do: fc.constant('fork'), room, lost: fc.oneof(some(1), some(5)), flagged: fc.boolean(), doubt: fc.boolean() }),
  action(1, { do: fc.constant('restart'), server })
) as fc.Arbitrary<Action>

export interface Schedule { setting: Setting, actions: Action[] }

/** Schedules of up to `length` actions. */
export function schedules (length: number): fc.Arbitrary<Schedule> {
  return fc.record({
    setting: fc.record({
      servers: fc.integer({ min: 1, max: 3 }),
      rooms: fc.integer({ min: 1, max: 2 }),
      clients: fc.integer({ min: 1, max: 5 }),
      window: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 20 })),
      tail: fc.integer({ min: 1, max: 6 }),
      age: fc.constantFrom(Infinity, 2, 5, 100),
      inbox: fc.integer({ min: 1, max: 4 }),
      slice: fc.integer({ min: 1, max: 6 }),
      page: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: some(7) }),
      replay: fc.option(fc.integer({ min: 1, max: 3 }), { freq: 5, nil: undefined }),
      snapshots: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      troubles: fc.oneof({ weight: 5, arbitrary: fc.constant('all') }, { weight: 2, arbitrary: fc.constantFrom('told', 'shown') }, { weight: 1, arbitrary: fc.constant('none') }),
      chance: fc.noShrink(fc.nat())
    }),
    actions: fc.array(anyAction, { minLength: 1, maxLength: length, size: 'max' })
  }) as fc.Arbitrary<Schedule>
}

const harmless = new Set<Action['do']>(['publish', 'subscribe', 'herd', 'drop', 'nothing', 'repeat'])
const slow = ['stall', 'block', 'take', 'pace'] as const
const told = new Set<Action['do']>([...harmless, ...slow, 'cut', 'reset', 'fork', 'forget'])
const shown = new Set<Action['do']>([...harmless, ...slow, 'skip', 'forget'])

/** What the setting keeps of the actions. */
export function kept ({ setting: { troubles }, actions }: Schedule): Action[] {
  if (troubles === 'all') return actions
  const allowed = { none: harmless, told, shown }[troubles]
  // What is refused is asked for again soon.
  const refused = (action: Action): boolean => action.do === 'fault' && (action.kind === 'refused' || action.kind === 'unanswered')
  return actions
    .filter((action) => allowed.has(action.do) || (troubles !== 'none' && refused(action)))
    .map((action) => 'doubt' in action ? { ...action, doubt: true } : action)
}

/** A schedule to read: a line for each action. */
export function print (schedule: Schedule): string {
  return [fields(schedule.setting), ...kept(schedule).map(({ do: what, wait, ...rest }) => `${what} ${fields(rest)}${wait > 0 ? `, then ${wait} ms` : ''}`)].join('\n')
}

function fields (object: object): string {
  return Object.entries(object).map(([name, value]) => `${name} ${value}`).join(', ')
}
