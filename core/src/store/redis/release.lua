-- Ends the lease of the owner, so that another owner can claim immediately.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 claim name (see claim.lua)
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'corrupt', problem}
-- Retry  Idempotent. The owner becomes empty, so that a late renewal has no effect.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'claim')
local epoch, first, mine = tonumber(head[1] or 0), tonumber(head[2] or 0), tonumber(ARGV[1])
if not epoch or not first then return {'corrupt', 'its epoch or first index is not a number'} end
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', first + redis.call('LLEN', KEYS[2])} end
if ARGV[2] ~= '' and ARGV[2] ~= head[3] then return {'fenced'} end
redis.call('PERSIST', KEYS[1]) -- see renew.lua
redis.call('HSET', KEYS[1], 'owner', '', 'until', 0)
return {'ok'}
