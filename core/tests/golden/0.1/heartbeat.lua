-- Puts a core on the list of those that live, or takes it off.
--
-- KEYS   1 members
-- ARGV   1 name, 2 standby (0 or 1), 3 lease in milliseconds from now; 0 takes it off, 4 number of the beat
-- Reply  {'ok', number of the last beat, name, standby, name, standby, ...}: those that live
-- Again  Sent again it moves the end of the lease, by as much as the repeat is late, and finds itself.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('PERSIST', KEYS[1]) -- see renew.lua
local ended, last = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) %d (%d+)$')
if not ended or tonumber(ended) <= now then last = 0 end
if tonumber(ARGV[3]) == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], (now + ARGV[3]) .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
end
local alive, entries = {'ok', tonumber(last)}, redis.call('HGETALL', KEYS[1])
for at = 1, #entries, 2 do
  local ends, standby = string.match(entries[at + 1], '^(%d+) (%d) %d+$')
  if ends and tonumber(ends) > now then
    alive[#alive + 1] = entries[at]
    alive[#alive + 1] = tonumber(standby)
  else
    redis.call('HDEL', KEYS[1], entries[at])
  end
end
return alive
