-- Keeps damaged blobs of a partition aside, and drops the oldest ones beyond the limits.
--
-- KEYS   1 head, 2 quarantine, 3 quarantine names, the oldest first
-- ARGV   1 epoch, 2 claim name (see claim.lua), 3 greatest number of blobs, 4 greatest number of bytes, then name and
--        blob of each
-- Reply  {'ok'} | {'fenced'} | {'behind', 0} | {'corrupt', problem}
-- Retry  Idempotent: a blob replaces the blob of the same name.
--
-- The time is linear in the number of blobs, because Redis serves no other client meanwhile.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'claim')
local epoch, mine = tonumber(head[1] or 0), tonumber(ARGV[1])
if not epoch then return {'corrupt', 'its epoch is not a number'} end
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', 0} end
if ARGV[2] ~= '' and ARGV[2] ~= head[2] then return {'fenced'} end

-- All names in the order of age: the stored ones that are not replaced, then the new ones.
local added, names = {}, {}
for at = 5, #ARGV, 2 do added[ARGV[at]] = at + 1 end
local stored = redis.call('LRANGE', KEYS[3], 0, -1)
for _, name in ipairs(stored) do
  if not added[name] then names[#names + 1] = name end
end
for at = 5, #ARGV, 2 do
  if added[ARGV[at]] == at + 1 then names[#names + 1] = ARGV[at] end
end

local bytes, first = 0, #names + 1
for at = #names, 1, -1 do
  local blob = added[names[at]]
  bytes = bytes + (blob and #ARGV[blob] or redis.call('HSTRLEN', KEYS[2], names[at]))
  if first + tonumber(ARGV[3]) == #names + 1 or bytes > tonumber(ARGV[4]) then break end
  first = at
end

for at = 1, first - 1 do redis.call('HDEL', KEYS[2], names[at]) end
for at = first, #names do
  local blob = added[names[at]]
  if blob then redis.call('HSET', KEYS[2], names[at], ARGV[blob]) end
end
redis.call('DEL', KEYS[3])
-- The Lua stack is limited to some thousand arguments.
for at = first, #names, 1000 do
  redis.call('RPUSH', KEYS[3], unpack(names, at, math.min(at + 999, #names)))
end
return {'ok'}
