-- Ends the owner's lease, so that another one can claim at once.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 the claim's name (see claim.lua)
-- Reply  {'ok'} | {'fenced'} | {'behind', next index}
-- Again  Sent again it changes nothing. The owner's name becomes empty, which tells a renewal that
--        arrives late that there is nothing to renew.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'claim')
local epoch, mine = tonumber(head[1] or 0), tonumber(ARGV[1])
if mine < epoch then return {'fenced'} end
if mine > epoch then
  return {'behind', tonumber(head[2] or 0) + redis.call('LLEN', KEYS[2])}
end
if ARGV[2] ~= '' and ARGV[2] ~= head[3] then return {'fenced'} end
redis.call('PERSIST', KEYS[1]) -- see renew.lua
redis.call('HSET', KEYS[1], 'owner', '', 'until', 0)
return {'ok'}
