// All in ms.

/** A connection that lasted so long was good: whatever ended it, the next is tried as if it were the first. */
export const STABLE = 5_000
export const FIRST_DELAY = 500
export const LONGEST_DELAY = 20_000
export const BUSY = 1_000
export const HEARTBEAT = 10_000
/** Some 11 days: a longer one than some 24 would be over at once. */
export const LONGEST_TIMER = 1e9
