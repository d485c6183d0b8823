import { here, room } from './prelude.js'

/**
 * Answers where rooms stand. `KEYS` are their metas and streams, by turns. `ARGV[1]` is PUBLISH or SPUBLISH, `ARGV[2]` and
 * `ARGV[3]` are the prelude's; then come, for each room, the prelude's `ARGV[1]`, `[4]` and `[5]`, and its channel.
 *
 * Answers the identity where it is not the caller's, and for each room its top, or what Redis said: a room that fails has
 * written nothing, and is no matter of the others.
 */
export const positions = here + `
local function top (KEYS, ARGV)
${room}
  local failed = keep()
  if failed then error(failed) end
  return position()
end

local replies = { who }
for i = 1, #KEYS / 2 do
  local at = 4 * i
  local done, reply = pcall(top, { KEYS[2 * i - 1], KEYS[2 * i] }, { ARGV[at], ARGV[2], ARGV[3], ARGV[at + 1], ARGV[at + 2], ARGV[1], ARGV[at + 3] })
  replies[1 + i] = done and reply or type(reply) == 'table' and reply.err or reply
end
return replies
`

/**
 * Finds which rooms are not as the caller last saw them. `KEYS` are their metas, `ARGV[2]` and `ARGV[3]` the prelude's; then
 * come their positions. Of a room of one epoch there is nothing else to find out where that is its top.
 *
 * Answers the identity where it is not the caller's, and the indices of the others, from 1: they are to be asked about.
 */
export const strange = here + `
local strange = { who }
for i, key in ipairs(KEYS) do
  local meta = redis.pcall('HMGET', key, 'r', 'n', 'l')
  local epoch = meta[1] == identity and meta[2] and meta[3] and string.match(meta[3], '^(%d+):%d+:[01]:%d+$')
  if epoch and ARGV[3 + i] == epoch .. '-' .. meta[2] then stay(key, ARGV[3]) else strange[#strange + 1] = i end
end
return strange
`
