/** When it is, and which Redis this is: `identity`, and `who`, which is empty where the caller knew. */
export const here = `
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local identity = '-'
if ARGV[2] ~= '-' then
  local info = redis.pcall('INFO', 'replication')
  identity = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or '-'
end
local who = identity == ARGV[2] and '' or identity

-- The meta lives on. Written once an hour at most.
local function stay (meta, lifetime)
  if redis.call('PTTL', meta) < lifetime - 3600000 then redis.call('PEXPIRE', meta, lifetime) end
end
`

/** The rest of it, of one room. */
export const room = `
local identity = identity
local meta = redis.call('HMGET', KEYS[1], 'r', 'n', 'l', 'x', 'b')
local top = tonumber(meta[2] or '0')
local marks = meta[4] or ''
local bytes = tonumber(meta[5] or '0')
local segments = {}
local begun = not (meta[1] and meta[2] and meta[3])
local changed = begun or (identity ~= '-' and meta[1] ~= identity)
local touched = identity == '-' and ARGV[5] ~= ''

local function open (flagged)
  local last = segments[#segments]
  if last and #segments > 1 and last.start == top and not last.flagged then segments[#segments] = nil end
  segments[#segments + 1] = { epoch = ARGV[1], start = top, flagged = flagged, opened = math.floor(now / 1000) }
end

local function number (value) return string.format('%.0f', value) end

if begun then
  top, bytes, marks = 0, 0, ''
  open(false)
else
  for epoch, start, flagged, opened in string.gmatch(meta[3], '(%d+):(%d+):([01]):(%d+)') do
    segments[#segments + 1] = { epoch = epoch, start = tonumber(start), flagged = flagged == '1', opened = tonumber(opened) }
  end
end

local lost = false
for epoch, offset in string.gmatch(ARGV[4], '(%d+)-(%d+)') do
  local reach = -1
  for i, segment in ipairs(segments) do
    if segment.epoch == epoch then reach = segments[i + 1] and segments[i + 1].start or top end
  end
  local known = tonumber(string.match(' ' .. marks, ' ' .. epoch .. '%-(%d+)') or '-1')
  if tonumber(offset) > math.max(reach, known) then
    marks = string.gsub(string.gsub(' ' .. marks .. ' ', ' ' .. epoch .. '%-%d+ ', ' '), '^%s*(.-)%s*$', '%1')
    marks = marks .. (marks == '' and '' or ' ') .. epoch .. '-' .. offset
    lost = true
  end
end
if lost then
  local _, count = string.gsub(marks, '%S+', '')
  for _ = 17, count do marks = string.gsub(marks, '^%S+ ', '') end
end

local suspects, known = touched and ARGV[5] ~= '0', false
for _, segment in ipairs(segments) do
  if known and segment.flagged then suspects = false end
  known = known or segment.epoch == ARGV[5]
end
local flagged = not begun and (lost or suspects)
if not begun and (changed or touched or flagged) then open(flagged) end
changed = changed or flagged
if identity == '-' then identity = meta[1] or '-' end

-- Segments whose messages are all gone, a day after they were closed.
local function prune (before)
  while #segments > 1 and segments[2].start <= before and (segments[2].opened < now / 1000 - 86400 or #segments > 64) do table.remove(segments, 1) end
end

local function lineage ()
  local parts = {}
  for i, segment in ipairs(segments) do
    parts[i] = segment.epoch .. ':' .. number(segment.start) .. ':' .. (segment.flagged and '1' or '0') .. ':' .. number(segment.opened)
  end
  return table.concat(parts, ' ')
end

local function position ()
  local i = #segments
  while i > 1 and segments[i].start == top and not segments[i].flagged do i = i - 1 end
  return segments[i].epoch .. '-' .. number(top)
end

-- Others have seen what this caller has not, who knows its own announcement by the epoch that it brought. They find out by
-- themselves that their links are new.
local function announce () if changed then redis.pcall(ARGV[6], ARGV[7], 'l ' .. ARGV[1]) end end

-- For scripts that only ask: writes what they found out. Where memory is full, a boundary that lost
-- nothing can be written down later, and reading goes on; without what proves a loss it may not. Answers the error.
local function keep ()
  if changed or touched then
    prune(0)
    local kept = redis.pcall('HSET', KEYS[1], 'r', identity, 'n', number(top), 'l', lineage(), 'x', marks, 'b', number(bytes))
    if type(kept) ~= 'table' or not kept.err then
      if begun then redis.call('DEL', KEYS[2]) end
      announce()
    elseif begun or flagged then
      return kept
    end
  end
  stay(KEYS[1], ARGV[3])
end
`

/**
 * What every script does first. `KEYS[1]` is the room's meta, `KEYS[2]` its stream. `ARGV[1]` is a fresh epoch,
 * `ARGV[2]` the identity that the caller last saw, or `-` where it goes by none, `ARGV[3]` how long the meta is to live, in
 * ms, `ARGV[4]` what the caller has seen (`epoch-offset`, a space between them), and `ARGV[5]` its suspicion (`witness.ts`).
 *
 * The meta is a hash: `r` the identity (`master_replid`) of the Redis in which it was last written by a caller who goes by
 * that, else `-`; `n` the top offset, `l` the lineage (`epoch:start:flagged:opened`, a space between segments, `opened` in
 * s), `x` what was reported as lost (`epoch-offset`), `b` the bytes of the window. Epochs stay strings: Lua would make
 * 1.7e+15 of them.
 *
 * The rules:
 * - No meta is a new history, whose only segment begins at 0. An old stream is never mixed with it.
 * - Another identity may have lost the end of what the last one wrote. A segment is opened at the top, unflagged, so that
 *   no two messages can ever have one id. Where nothing was lost, nobody learns of it.
 * - Where no identity is known, each new link of a caller stands for one: it may lead to another Redis. A segment is opened
 *   when a link first touches the room. It is flagged where the caller suspects a loss, unless another has flagged one
 *   since the caller last stood in the room: so a failover that breaks the links of many servers is told once.
 * - A caller that has seen what is not in the lineage proves a loss. A flagged segment is opened at the top, once for each
 *   position up to which a branch is known to be lost, and everybody who passes into it is told. Closed segments are
 *   left as they are: readers who have passed them would never hear of a flag set there.
 *
 * The first command that writes is one that honours `maxmemory`, and types are found out by reads before it: a script
 * that fails has written nothing.
 */
export const prelude = here + room
