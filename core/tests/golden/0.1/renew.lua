-- Moves the end of the owner's lease.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 the claim's name (see claim.lua), 3 lease in milliseconds from now, 4 an index that the
--        log must have reached
-- Reply  {'ok'} | {'fenced'} | {'behind', next index}
-- Again  Sent again it moves the end again, by as much as the repeat is late. Behind a release it does
--        nothing.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'owner', 'claim')
local epoch, mine = tonumber(head[1] or 0), tonumber(ARGV[1])
if mine < epoch then return {'fenced'} end
local after = tonumber(head[2] or 0) + redis.call('LLEN', KEYS[2])
if mine > epoch then return {'behind', after} end
if ARGV[2] ~= '' and ARGV[2] ~= head[4] then return {'fenced'} end
if tonumber(ARGV[4]) > after then return {'behind', after} end
if head[3] == '' then return {'ok'} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- PERSIST changes nothing here (the key never expires), but it is a write that Redis allows when memory is
-- full, and after one write it allows the rest of the script. Without it a full Redis would end leases.
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'until', now + ARGV[3])
return {'ok'}
