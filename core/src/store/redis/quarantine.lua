-- Keeps damaged blobs of a partition aside, and drops the oldest ones beyond the limits.
--
-- KEYS   1 head, 2 quarantine, 3 quarantine names, the oldest first
-- ARGV   1 epoch, 2 claim name (see claim.lua), 3 greatest number of blobs, 4 greatest number of bytes, then name and
--        blob of each
-- Reply  {'ok'} | {'fenced'} | {'behind', 0} | {'corrupt', problem}
-- Retry  Idempotent: a blob replaces the blob of the same name.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'claim')
local epoch, mine = tonumber(head[1] or 0), tonumber(ARGV[1])
if not epoch then return {'corrupt', 'its epoch is not a number'} end
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', 0} end
if ARGV[2] ~= '' and ARGV[2] ~= head[2] then return {'fenced'} end

for at = 5, #ARGV, 2 do
  redis.call('LREM', KEYS[3], 0, ARGV[at])
  redis.call('RPUSH', KEYS[3], ARGV[at])
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
end
local names, kept, bytes = redis.call('LRANGE', KEYS[3], 0, -1), 0, 0
for at = #names, 1, -1 do
  bytes = bytes + redis.call('HSTRLEN', KEYS[2], names[at])
  if kept == tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) then break end
  kept = kept + 1
end
for at = 1, #names - kept do redis.call('HDEL', KEYS[2], names[at]) end
redis.call('LTRIM', KEYS[3], #names - kept, -1)
return {'ok'}
