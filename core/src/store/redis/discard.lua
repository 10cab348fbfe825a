-- Removes streams under damaged names from the checkpoint of a partition.
--
-- KEYS   1 head, 2 streams
-- ARGV   1 epoch, 2 claim name (see claim.lua), then the names
-- Reply  {'ok'} | {'fenced'} | {'behind', 0} | {'corrupt', problem}
-- Retry  Idempotent.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'claim')
local epoch, mine = tonumber(head[1] or 0), tonumber(ARGV[1])
if not epoch then return {'corrupt', 'its epoch is not a number'} end
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', 0} end
if ARGV[2] ~= '' and ARGV[2] ~= head[2] then return {'fenced'} end
local removed = 0
for at = 3, #ARGV do removed = removed + redis.call('HDEL', KEYS[2], ARGV[at]) end
local ends, streams = recorded(KEYS[1], head[2])
if ends then record(KEYS[1], head[2], ends, streams - removed) end
return {'ok'}
