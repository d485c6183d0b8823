import { prelude } from './prelude.js'

/**
 * Reads the window. After the prelude's (nothing is brought as seen: a client's cursor proves nothing): `ARGV[8]` the age
 * of the oldest message that counts, in ms, `ARGV[9]` `since` or `last`, `ARGV[10]` the offset or the number of messages,
 * `ARGV[11]` the most messages.
 *
 * Answers the lineage, the top, the offset before the oldest message retained, whether more follow, and offsets and
 * texts by turns.
 */
export const read = prelude + `
local failed = keep()
if failed then return failed end
local first
repeat
  first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  local expired = first and tonumber(first[2][2]) <= now - ARGV[8]
  if expired then
    redis.call('XDEL', KEYS[2], first[1])
    redis.call('HINCRBY', KEYS[1], 'b', -#first[2][4])
  end
until not expired
local before = first and tonumber(string.match(first[1], '%d+')) - 1 or top

local limit = tonumber(ARGV[11])
local entries
if ARGV[9] == 'last' then
  entries = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[10])
  for i = 1, math.floor(#entries / 2) do entries[i], entries[#entries + 1 - i] = entries[#entries + 1 - i], entries[i] end
else
  entries = redis.call('XRANGE', KEYS[2], number(tonumber(ARGV[10]) + 1), '+', 'COUNT', limit + 1)
end
local more = #entries > limit and 1 or 0
local reply = { lineage(), number(top), number(before), more }
for i = 1, math.min(limit, #entries) do
  reply[#reply + 1] = string.match(entries[i][1], '%d+')
  reply[#reply + 1] = entries[i][2][4]
end
return reply
`
