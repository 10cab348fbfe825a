-- Claims a partition for an owner under a new epoch.
--
-- KEYS   1 head, 2 log
-- ARGV   1 owner, 2 lease in milliseconds, 3 session, 4 call number, 5 an epoch to exceed, 6 the longest lease in
--        milliseconds of an owner of release 0.1, which stores no lease
-- Reply  {'ok', epoch, first index, length of the log, last 32 claims, meta or nil, recorded end of the log and number of
--        streams (see sizes.lua) or nil}
--        | {'held', other owner, milliseconds left} | {'overtaken', stored call number}
--        | {'corrupt', problem}
-- Retry  Replies the same unless a later call took effect. A call that arrives after a later call of its
--        session, such as one delayed in a closed connection, changes nothing and cannot fence its successor.
--
-- The claim name, `session:number`, is part of each call of the owner. It distinguishes two owners of one epoch,
-- which exist if Redis loses a claim in a failover and then assigns its epoch again.
--
-- A claim whose reply was lost is claimed again with an epoch to exceed below its own. The new claim replaces the line
-- of the lost one, under which nothing was written, so that retries cannot displace the claims of other owners.
--
-- Damage: the last claim also names the epoch, so either of the two can be lost. The first index has no copy.

-- A number of more than 15 digits is damage: Lua would round larger ones, and accepts forms such as 'nan' and '0x1'.
local function number(text)
  return text and #text <= 15 and string.find(text, '^%d+$') and tonumber(text) or nil
end

-- All digits; the conversion by `..` rounds to 14.
local function digits(number)
  return string.format('%.0f', number)
end

local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'owner', 'until', 'session', 'call', 'claims',
  'meta', 'claim', 'lease')
local first, length, claims = number(head[2] or '0'), redis.call('LLEN', KEYS[2]), head[7] or ''
local epoch, last = number(head[1]), number(string.match('\n' .. claims, '\n(%d+) %d+ [^\n]+\n$'))
if not first then return {'corrupt', 'the first index of its log is not a number'} end
if not epoch and not last and (head[1] or claims ~= '') then
  return {'corrupt', 'its epoch is not a number'}
end
epoch = math.max(epoch or 0, last or 0)

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local call = number(head[6]) or 0
if head[5] == ARGV[3] and tonumber(ARGV[4]) < call then return {'overtaken', call} end
redis.call('PERSIST', KEYS[1]) -- see renew.lua
if not (head[5] == ARGV[3] and head[6] == ARGV[4]) then
  -- An end further away than the lease shows that the clock was set back, or damage.
  local lease, claim = string.match(head[10] or '', '^(%d+) (.+)$')
  local longest = claim and claim == head[9] and number(lease) or math.max(ARGV[2], ARGV[6])
  local ends = number(head[4] or '0')
  local is_held = head[3] and head[3] ~= '' and head[3] ~= ARGV[1]
  if is_held and (not ends or ends > now + longest) then
    ends = now + longest
    redis.call('HSET', KEYS[1], 'until', ends)
  end
  if is_held and ends > now then return {'held', head[3], ends - now} end
  local above, next_index = tonumber(ARGV[5]), digits(first + length)
  epoch = math.max(epoch, above) + 1
  if claims ~= '' and string.sub(claims, -1) ~= '\n' then claims = claims .. '\n' end -- a damaged end
  local line = string.match('\n' .. claims, '\n([^\n]+\n)$') or ''
  local retried, index, owner = string.match(line, '^(%d+) (%d+) (.+)\n$')
  if owner == ARGV[1] and index == next_index and (number(retried) or 0) > above then
    claims = string.sub(claims, 1, -#line - 1)
  end
  claims = claims .. digits(epoch) .. ' ' .. next_index .. ' ' .. ARGV[1] .. '\n'
  local _, count = string.gsub(claims, '\n', '')
  if count > 32 then claims = string.sub(claims, string.find(claims, '\n', 1, true) + 1) end
end
local claim = ARGV[3] .. ':' .. ARGV[4]
redis.call('HSET', KEYS[1], 'epoch', epoch, 'first', first, 'owner', ARGV[1], 'until', now + ARGV[2],
  'lease', ARGV[2] .. ' ' .. claim, 'session', ARGV[3], 'call', ARGV[4], 'claim', claim, 'claims', claims, 'checkpoints', 0)
local ends, streams = recorded(KEYS[1], head[9])
if ends then record(KEYS[1], claim, ends, streams) end
return {'ok', epoch, first, length, claims, head[8], ends or false, streams or false}
