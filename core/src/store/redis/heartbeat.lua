-- Records a heartbeat: adds a core to the membership, or removes it.
--
-- KEYS   1 members
-- ARGV   1 name, 2 standby (0 or 1), 3 lease in milliseconds from now; 0 removes the core, 4 heartbeat number
-- Reply  {'ok', number of the previous heartbeat, name, standby, name, standby, ...}: all live members
-- Retry  Extends the lease by the delay of the retry, and reports itself as the previous heartbeat.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('PERSIST', KEYS[1]) -- see renew.lua
local expiry, last = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) %d (%d+)$')
if not expiry or tonumber(expiry) <= now then last = 0 end
if tonumber(ARGV[3]) == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], (now + ARGV[3]) .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
end
local live, entries = {'ok', tonumber(last)}, redis.call('HGETALL', KEYS[1])
for at = 1, #entries, 2 do
  local expires, standby = string.match(entries[at + 1], '^(%d+) (%d) %d+$')
  if expires and tonumber(expires) > now then
    live[#live + 1] = entries[at]
    live[#live + 1] = tonumber(standby)
  else
    redis.call('HDEL', KEYS[1], entries[at])
  end
end
return live
