import type { Listenable } from './types.js'

/** The platform's EventTarget, with types for its events. */
export const target = <Events>(): new () => Listenable<Events> & Pick<EventTarget, 'dispatchEvent'> => EventTarget as never

/** An event with these fields. What the platform gives an event is not overwritten: a server may send any field. */
export function eventOf (fields: Record<string, unknown> & { type: string }): Event {
  const event: any = new Event(fields.type)
  for (const name in fields) if (!(name in event)) event[name] = fields[name]
  return event
}
