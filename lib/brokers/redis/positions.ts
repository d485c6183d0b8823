import { here, room } from './prelude.js'

/**
 * Answers where rooms stand. `KEYS` are their metas and streams, by turns. `ARGV[1]` is PUBLISH or SPUBLISH, `ARGV[2]` and
 * `ARGV[3]` are the prelude's; then come, for each room, the prelude's `ARGV[1]`, `[4]` and `[5]`, and its channel.
 *
 * Answers the identity where it is not the caller's, and for each room its top, or what Redis said: a room that fails has
 * written nothing, and is no matter of the others.
 */
export const positions = here + `
-- Most rooms that are asked about are quiet: of one epoch, and all that the caller has seen is the top. Nothing is to be found out then.
local function isQuiet (meta, ARGV)
  if meta[1] ~= identity or (identity == '-' and ARGV[5] ~= '') or not (meta[2] and meta[3]) then return false end
  local epoch = string.match(meta[3], '^(%d+):%d+:[01]:%d+$')
  return epoch and ARGV[4] == epoch .. '-' .. meta[2]
end

local function top (KEYS, ARGV)
  if isQuiet(redis.call('HMGET', KEYS[1], 'r', 'n', 'l'), ARGV) then
    stay(KEYS[1], ARGV[3])
    return ARGV[4]
  end
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
