-- Writes a checkpoint of a partition and trims its log in one step.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 claim name (see claim.lua), 3 session, 4 call number, 5 covers, 6 meta, 7 number of
--        replaced streams, then number and blob of each replaced stream, then the numbers of removed streams
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'corrupt', problem}
-- Retry  Idempotent. A call that arrives after a later call of its session, or that covers less than the
--        log was trimmed to, replies 'ok' and changes nothing.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'session', 'call', 'claim')
local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
if not epoch or not first then return {'corrupt', 'its epoch or first index is not a number'} end
local after = first + redis.call('LLEN', KEYS[2])
local mine, covers = tonumber(ARGV[1]), tonumber(ARGV[5])
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', after} end
if ARGV[2] ~= '' and ARGV[2] ~= head[5] then return {'fenced'} end
if covers > after then return {'behind', after} end
if covers < first then return {'ok'} end
if head[3] == ARGV[3] and tonumber(ARGV[4]) < (tonumber(head[4]) or 0) then return {'ok'} end

-- The trim comes first because it frees memory. A full Redis permits further writes of a script that has
-- written, and only checkpoints free memory.
redis.call('LTRIM', KEYS[2], covers - first, -1)
-- The Lua stack is limited to some thousand arguments.
local step = 2000
local function each(command, from, to)
  for at = from, to, step do
    redis.call(command, KEYS[3], unpack(ARGV, at, math.min(at + step - 1, to)))
  end
end
local removed = 8 + 2 * tonumber(ARGV[7])
each('HDEL', removed, #ARGV)
each('HSET', 8, removed - 1)
redis.call('HSET', KEYS[1], 'first', covers, 'meta', ARGV[6], 'session', ARGV[3], 'call', ARGV[4])
return {'ok'}
