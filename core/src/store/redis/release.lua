-- Ends the owner's lease, so that another one can claim at once.
--
-- KEYS   1 head, 2 log
-- ARGV   1 epoch
-- Reply  {'ok'} | {'fenced'} | {'behind', next index}
-- Again  Sent again it changes nothing. The owner's name becomes empty, which tells a renewal that
--        arrives late that there is nothing to renew.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first')
local epoch, mine = tonumber(head[1] or 0), tonumber(ARGV[1])
if mine < epoch then return {'fenced'} end
if mine > epoch then
  return {'behind', tonumber(head[2] or 0) + redis.call('LLEN', KEYS[2])}
end
redis.call('PERSIST', KEYS[1]) -- see renew.lua
redis.call('HSET', KEYS[1], 'owner', '', 'until', 0)
return {'ok'}
