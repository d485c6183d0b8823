import { prelude } from './prelude.js'

/**
 * Publishes a message. After the prelude's: `KEYS[3]` the idempotency key; `ARGV[5]` PUBLISH or SPUBLISH, `ARGV[6]` the
 * room's channel, `ARGV[7]` the text, `ARGV[8]` how long the key is remembered in ms, `ARGV[9]`, `[10]` and `[11]` the
 * window: messages, ms, bytes.
 *
 * Answers the id, whether it is an earlier one's, and the identity where it is not the caller's. Subscribers are sent
 * `m <id> <previous> <text>`, after an `l` where the lineage has changed.
 *
 * The stream's entries have the offset as their id, and hold `t`, when they were published, and `d`, the text.
 */
export const publish = prelude + `
local first = redis.call('GET', KEYS[3])
if first then
  keep()
  return { first, 1, who }
end

local function append (offset)
  return redis.pcall('XADD', KEYS[2], number(offset) .. '-0', 't', number(now), 'd', ARGV[7])
end

local function record () redis.call('HSET', KEYS[1], 'r', identity, 'n', number(top), 'l', lineage(), 'x', marks, 'b', number(bytes)) end

local added = not begun and append(top + 1)
if added and added.err then
  if not string.find(added.err, 'equal or smaller') then return added end
  -- The stream goes beyond what was counted: it is another's.
  begun, changed, top, bytes, segments = true, true, 0, 0, {}
  open(false)
end
local previous = position()
top = top + 1
if begun then
  record()
  redis.call('DEL', KEYS[2])
  added = append(top)
  if added.err then return added end
end
local id = segments[#segments].epoch .. '-' .. number(top)
redis.call('SET', KEYS[3], id, 'PX', ARGV[8])

-- The window: the oldest go, one by one, as one comes.
local length = redis.call('XLEN', KEYS[2])
if length == 1 then bytes = 0 end
bytes = bytes + #ARGV[7]
local before
while length > 1 do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if length <= tonumber(ARGV[9]) and bytes <= tonumber(ARGV[11]) and tonumber(oldest[2][2]) > now - ARGV[10] then break end
  bytes = bytes - #oldest[2][4]
  redis.call('XDEL', KEYS[2], oldest[1])
  length = length - 1
end
prune(top - length)
record()
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[10])
announce()
redis.call(ARGV[5], ARGV[6], 'm ' .. id .. ' ' .. previous .. ' ' .. ARGV[7])
return { id, 0, who }
`
