-- Extends the lease of the owner.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 claim name (see claim.lua), 3 lease in milliseconds from now, 4 next index that the log
--        must have reached
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'corrupt', problem}
-- Retry  Extends the lease by the delay of the retry. After a release it has no effect.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'owner', 'claim')
local epoch, first, mine = tonumber(head[1] or 0), tonumber(head[2] or 0), tonumber(ARGV[1])
if not epoch or not first then return {'corrupt', 'its epoch or first index is not a number'} end
if mine < epoch then return {'fenced'} end
local after = first + redis.call('LLEN', KEYS[2])
if mine > epoch then return {'behind', after} end
if ARGV[2] ~= '' and ARGV[2] ~= head[4] then return {'fenced'} end
if tonumber(ARGV[4]) > after then return {'behind', after} end
if head[3] == '' then return {'ok'} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- PERSIST has no effect on this key, which never expires. But Redis permits it when memory is full, and after
-- one write permits all others of the script. Without PERSIST, leases would expire on a full Redis.
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'until', now + ARGV[3], 'lease', ARGV[3] .. ' ' .. (head[4] or ''))
return {'ok'}
