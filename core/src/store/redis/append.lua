-- Puts one blob at the end of a partition's log.
--
-- KEYS   1 head, 2 log
-- ARGV   1 epoch, 2 index, 3 blob
-- Reply  {'ok'} | {'fenced'} | {'behind', next index} | {'conflict'}
-- Again  An index that the log has answers 'ok' if the blob is the same, one below the log answers 'ok'
--        always, and neither appends anything; so a call may be sent any number of times.
--
-- The next index is not stored: it is the first one plus the length of the log, and so cannot differ
-- from what is there.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'first')
local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
local after = first + redis.call('LLEN', KEYS[2])
local mine, index = tonumber(ARGV[1]), tonumber(ARGV[2])
if mine < epoch then return {'fenced'} end
if mine > epoch or index > after then return {'behind', after} end
if index == after then
  redis.call('RPUSH', KEYS[2], ARGV[3])
  return {'ok'}
end
if index >= first and redis.call('LINDEX', KEYS[2], index - first) ~= ARGV[3] then
  return {'conflict'}
end
-- The first sending may have been on another connection, and WAIT promises only to wait for what its own
-- connection wrote. So something is written here, too. (PERSIST: see renew.lua.)
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'first', first)
return {'ok'}
