import { prelude } from './prelude.js'

/**
 * Publishes messages, in their order. After the prelude's: `KEYS[3]` and on are the idempotency keys, one a message;
 * `ARGV[6]` is PUBLISH or SPUBLISH, `ARGV[7]` the room's channel, `ARGV[8]`, `[9]` and `[10]` the window (messages, ms,
 * bytes); then come, for each message, its text, how long its key is remembered in ms, and a token of its caller's.
 *
 * Answers the identity where it is not the caller's, the top, why subscribers were not sent it (or nothing), and for each message its id, or where its key was there
 * before the first one's, with a `d` before it where that was not by the same token: a caller that tries again because it
 * had no answer finds its own. Subscribers are sent `m <id> <previous> <text>`, after an `l` where the lineage has changed.
 *
 * The stream's entries have the offset as their id, and hold `t`, when they were published, and `d`, the text. A key
 * holds the id and the token. Redis keeps a script from running half: only the first write can be refused.
 */
export const publish = prelude + `
local replies, sent, added = { who, '', '' }, {}, 0

local function record ()
  redis.call('HSET', KEYS[1], 'r', identity, 'n', number(top), 'l', lineage(), 'x', marks, 'b', number(bytes))
end

local function append (offset, text)
  return redis.pcall('XADD', KEYS[2], number(offset) .. '-0', 't', number(now), 'd', text)
end

-- The first message decides whether anything is written at all.
local function begin (text)
  if not begun then
    local reply = append(top + 1, text)
    if not (type(reply) == 'table' and reply.err) then return end
    -- A stream that goes beyond what was counted is another's.
    if not string.find(reply.err, 'equal or smaller') then return reply end
    changed, top, bytes, segments = true, 0, 0, {}
    open(false)
  end
  record()
  redis.call('DEL', KEYS[2])
  append(top + 1, text)
end

for i = 1, #KEYS - 2 do
  local text, ttl, token = ARGV[8 + 3 * i], ARGV[9 + 3 * i], ARGV[10 + 3 * i]
  local first = redis.pcall('GET', KEYS[2 + i])
  if type(first) == 'table' and first.err then
    if added == 0 then return first end
    first = nil
  end
  if first then
    local id, by = string.match(first, '^(%S+) (.*)$')
    replies[3 + i] = (by == token and '' or 'd') .. id
  else
    local previous = position()
    if added == 0 then
      local failed = begin(text)
      if failed then return failed end
      if top == 0 then previous = position() end
    else
      append(top + 1, text)
    end
    top, added, bytes = top + 1, added + 1, bytes + #text
    local id = segments[#segments].epoch .. '-' .. number(top)
    redis.call('SET', KEYS[2 + i], id .. ' ' .. token, 'PX', ttl)
    sent[added] = 'm ' .. id .. ' ' .. previous .. ' ' .. text
    replies[3 + i] = id
  end
end
replies[2] = position()
if added == 0 then
  local failed = keep()
  if failed then return failed end
  -- A write, so that WAIT after it counts those of the first try, whoever made it.
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return replies
end

-- The window: the oldest go as others come, and the newest stays.
local length = redis.call('XLEN', KEYS[2])
while length > 1 do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if length <= tonumber(ARGV[8]) and bytes <= tonumber(ARGV[10]) and tonumber(oldest[2][2]) > now - ARGV[9] then break end
  bytes = bytes - #oldest[2][4]
  redis.call('XDEL', KEYS[2], oldest[1])
  length = length - 1
end
if length == 1 then bytes = #ARGV[8 + 3 * (#KEYS - 2)] end
prune(top - length)
record()
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
announce()
-- What is stored is published, even where the right to the channel was taken away: quiet rooms are compared.
for i = 1, added do
  local reply = redis.pcall(ARGV[6], ARGV[7], sent[i])
  if type(reply) == 'table' and reply.err then replies[3] = reply.err end
end
return replies
`
