import { prelude } from './prelude.js'

/** Answers the top of the room, and the identity where it is not the caller's. `ARGV` is the prelude's, with `[6]` and `[7]` as for `publish`. */
export const positions = prelude + `
local failed = keep()
if failed then return failed end
return { position(), who }
`
