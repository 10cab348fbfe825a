-- Moves the data of an unreadable partition aside and leaves an empty partition behind all earlier indexes.
--
-- KEYS   1 head, 2 log, 3 streams, 4 to 6 the same keys of the data aside
-- ARGV   1 longest lease in milliseconds of an owner of release 0.1
-- Reply  {'ok'} | {'held', owner, milliseconds left}
-- Retry  Idempotent: a reset of an empty partition behind earlier indexes changes nothing.
local function number(text)
  return text and #text <= 15 and string.find(text, '^%d+$') and tonumber(text) or nil
end
local function has_type(key, wanted) return redis.call('TYPE', key).ok == wanted end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local head, length = {}, 0
if has_type(KEYS[1], 'hash') then
  head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'claims', 'owner', 'until', 'meta')
end
if has_type(KEYS[2], 'list') then length = redis.call('LLEN', KEYS[2]) end
local is_held = head[4] and head[4] ~= ''
local ends, longest = tonumber(head[5] or 0), tonumber(ARGV[1])
if is_held and (not ends or ends > now + longest) then
  -- An end further away than a lease shows that the clock was set back, or damage.
  ends = now + longest
  redis.call('HSET', KEYS[1], 'until', ends)
end
if is_held and ends > now then return {'held', head[4], ends - now} end

local claims = head[3] or ''
local last, index = string.match('\n' .. claims, '\n(%d+) (%d+) [^\n]+\n$')
last, index = number(last), number(index)
if not last then claims = '' end
local epoch = number(head[1])
-- Without any readable epoch, the time in seconds exceeds all earlier ones.
if not epoch and not last and redis.call('EXISTS', KEYS[1]) == 1 then epoch = math.floor(now / 1000) end
epoch = math.max(epoch or 0, last or 0) + 1
if number(head[1]) and (number(head[2]) or 0) > 0 and not head[6] and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then
  return {'ok'}
end
local after = math.max((number(head[2]) or index or 0) + length, index or 0, 1)

for at = 1, 3 do
  if redis.call('EXISTS', KEYS[at]) == 1 then
    redis.call('RENAME', KEYS[at], KEYS[at + 3])
  else
    redis.call('DEL', KEYS[at + 3])
  end
end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'first', after, 'owner', '', 'until', 0, 'claims', claims)
return {'ok'}
