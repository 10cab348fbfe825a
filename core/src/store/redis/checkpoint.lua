-- Writes a checkpoint of a partition and trims its log in one step.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 claim name (see claim.lua), 3 first index that the owner expects; empty: not checked,
--        4 'beyond' if the checkpoint also covers appends that a full Redis has refused; otherwise unused, 5 number of
--        confirmed checkpoint calls of this claim, 6 covers, 7 meta, 8 number of replaced streams, then number and blob
--        of each replaced stream, then the numbers of removed streams
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'corrupt', problem}
-- Retry  Idempotent: `checkpoints` is the number of the last call, and a call is repeated with the same number. A call
--        that arrives after a later one replies 'behind' and changes nothing.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'checkpoints', 'claim')
local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
if not epoch or not first then return {'corrupt', 'its epoch or first index is not a number'} end
local after = first + redis.call('LLEN', KEYS[2])
local mine, covers = tonumber(ARGV[1]), tonumber(ARGV[6])
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', after} end
if ARGV[2] ~= '' and ARGV[2] ~= head[4] then return {'fenced'} end
if covers > after and ARGV[4] ~= 'beyond' then return {'behind', after} end
local made = tonumber(head[3] or 0)
local ends, streams = recorded(KEYS[1], head[4])
local length = redis.call('HLEN', KEYS[3])
if ARGV[3] ~= '' then
  local confirmed = tonumber(ARGV[5])
  if made ~= confirmed and made ~= confirmed + 1 then return {'behind', after} end
  if first ~= tonumber(ARGV[3]) and first ~= covers then return {'behind', after} end
  if streams and streams ~= length and confirmed > 0 then return {'behind', after} end
  made = confirmed + 1
end
if covers < first then return {'ok'} end

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
local removed = 9 + 2 * tonumber(ARGV[8])
each('HDEL', removed, #ARGV)
each('HSET', 9, removed - 1)
redis.call('HSET', KEYS[1], 'first', covers, 'meta', ARGV[7], 'checkpoints', made or 0)
if ARGV[3] ~= '' then
  record(KEYS[1], head[4], math.max(after, covers), redis.call('HLEN', KEYS[3]))
elseif ends then
  -- The repair of one stream hides no other damage.
  record(KEYS[1], head[4], ends, streams + redis.call('HLEN', KEYS[3]) - length)
end
return {'ok'}
