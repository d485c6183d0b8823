import type { Listenable } from './types.js'

/** The platform's EventTarget, with types for its events. */
export const target = <Events>(): new () => Listenable<Events> & Pick<EventTarget, 'dispatchEvent'> => EventTarget as never
