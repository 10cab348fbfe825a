-- Makes somebody the owner of a partition under a new epoch.
--
-- KEYS   1 head, 2 log
-- ARGV   1 owner, 2 lease in milliseconds, 3 session, 4 number of the call, 5 an epoch to be passed
-- Reply  {'ok', epoch, first index, length of the log, the last 32 claims, meta or nil}
--        | {'held', the other owner, milliseconds left} | {'overtaken'}
-- Again  The same call sent again answers the same, as long as nothing came after it. One that arrives
--        behind a later call of its session (it was stuck in a connection given up long ago) changes
--        nothing, so that it cannot fence the claim that replaced it.
--
-- The claim's name, `session:number`, goes with each call of the owner. It tells apart two owners of one
-- epoch: there can be two if Redis loses a claim in a failover and then gives its epoch again.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'owner', 'until', 'session', 'call', 'claims',
  'meta')
local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
local length, claims = redis.call('LLEN', KEYS[2]), head[7] or ''
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if head[5] == ARGV[3] and tonumber(ARGV[4]) < tonumber(head[6]) then return {'overtaken'} end
if not (head[5] == ARGV[3] and head[6] == ARGV[4]) then
  local left = tonumber(head[4] or 0) - now
  if head[3] and head[3] ~= ARGV[1] and left > 0 then return {'held', head[3], left} end
  epoch = math.max(epoch, tonumber(ARGV[5])) + 1
  claims = claims .. epoch .. ' ' .. first + length .. ' ' .. ARGV[1] .. '\n'
  local _, count = string.gsub(claims, '\n', '')
  if count > 32 then claims = string.sub(claims, string.find(claims, '\n', 1, true) + 1) end
end
redis.call('PERSIST', KEYS[1]) -- see renew.lua
redis.call('HSET', KEYS[1], 'epoch', epoch, 'first', first, 'owner', ARGV[1],
  'until', now + ARGV[2], 'session', ARGV[3], 'call', ARGV[4],
  'claim', ARGV[3] .. ':' .. ARGV[4], 'claims', claims)
return {'ok', epoch, first, length, claims, head[8]}
