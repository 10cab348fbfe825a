-- Extends the lease of the owner.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 claim name (see claim.lua), 3 first index that the owner expects, 4 first index after the
--        checkpoint in progress, 5 number of confirmed checkpoint calls of this claim; 3 to 5 empty: not checked,
--        6 lease in milliseconds from now, 7 next index that the log must have reached
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'corrupt', problem}
-- Retry  Extends the lease by the delay of the retry. After a release it has no effect.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'owner', 'claim', 'checkpoints')
local epoch, first, mine = tonumber(head[1] or 0), tonumber(head[2] or 0), tonumber(ARGV[1])
if not epoch or not first then return {'corrupt', 'its epoch or first index is not a number'} end
if mine < epoch then return {'fenced'} end
local after = first + redis.call('LLEN', KEYS[2])
if mine > epoch then return {'behind', after} end
if ARGV[2] ~= '' and ARGV[2] ~= head[4] then return {'fenced'} end
if tonumber(ARGV[7]) > after then return {'behind', after} end
if ARGV[3] ~= '' then
  local is_expected = first == tonumber(ARGV[3]) or first == tonumber(ARGV[4])
  local made = tonumber(head[5] or 0)
  if not is_expected or not made or made < tonumber(ARGV[5]) then return {'behind', after} end
end
local ends, streams = recorded(KEYS[1], head[4])
local length = redis.call('HLEN', KEYS[3])
-- Before the first checkpoint of a claim, the streams may be missing since the previous owner.
if streams and streams ~= length and (tonumber(ARGV[5]) or 0) > 0 then return {'behind', after} end
if head[3] == '' then return {'ok'} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- PERSIST has no effect on this key, which never expires. But Redis permits it when memory is full, and after
-- one write permits all others of the script. Without PERSIST, leases would expire on a full Redis.
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'until', now + ARGV[6], 'lease', ARGV[6] .. ' ' .. (head[4] or ''))
-- A recorded end beyond the log is the trace of lost entries until a checkpoint.
record(KEYS[1], head[4], math.max(ends or 0, after), streams or length)
return {'ok'}
