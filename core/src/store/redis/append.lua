-- Puts one blob at the end of a partition's log.
--
-- KEYS   1 head, 2 log, 3 streams
-- ARGV   1 epoch, 2 the claim's name (see claim.lua), 3 index, 4 blob
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'conflict'}
-- Again  An index that the log has answers 'ok' if the blob is the same, one below the log answers 'ok'
--        always, and neither appends anything; so a call may be sent any number of times.
--
-- The next index is not stored: it is the first one plus the length of the log, and so cannot differ
-- from what is there.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first', 'claim')
local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
local after = first + redis.call('LLEN', KEYS[2])
local mine, index = tonumber(ARGV[1]), tonumber(ARGV[3])
if mine < epoch then return {'fenced'} end
if mine > epoch then return {'behind', after} end
if ARGV[2] ~= '' and ARGV[2] ~= head[3] then return {'fenced'} end
if index > after then return {'behind', after} end
if index == after then
  redis.call('RPUSH', KEYS[2], ARGV[4])
  return {'ok'}
end
if index >= first and redis.call('LINDEX', KEYS[2], index - first) ~= ARGV[4] then
  return {'conflict'}
end
-- The first sending may have been on another connection, and WAIT promises only to wait for what its own
-- connection wrote. So something is written here, too. (PERSIST: see renew.lua.)
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'first', first)
return {'ok'}
