-- Appends blobs to the logs of partitions: one blob each, or several blobs of one partition in order. A failed
-- append does not affect the others.
--
-- KEYS   per blob: head, log
-- ARGV   per blob: epoch, claim name (see claim.lua), index, blob, first index that the owner expects, first index
--        after the checkpoint in progress, number of confirmed checkpoint calls of this claim; the last three empty: not
--        checked
-- Reply  {'ok'} if all appends succeed; otherwise one reply per blob:
--        {'ok'} | {'fenced'} | {'behind', next index} | {'conflict'} | {'corrupt', problem} | an error
-- Retry  Idempotent. An existing index replies 'ok' if the blob is equal, and an index below the log always
--        replies 'ok'; neither appends anything.
--
-- The next index is not stored. The script derives it from the first index and the length of the log, so the
-- value always matches the log.
local function append(head_key, log_key, mine, claim, index, blob, expected, next_expected, confirmed)
  local head = redis.call('HMGET', head_key, 'epoch', 'first', 'claim', 'checkpoints')
  local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
  if not epoch or not first then return {'corrupt', 'its epoch or first index is not a number'} end
  local after = first + redis.call('LLEN', log_key)
  if mine < epoch then return {'fenced'} end
  if mine > epoch then return {'behind', after} end
  if claim ~= '' and claim ~= head[3] then return {'fenced'} end
  -- Another first index shows a rollback or damage: the index of each entry would be wrong. A missing checkpoint call
  -- shows a rollback, too.
  if expected ~= '' then
    local is_first, made = first == tonumber(expected) or first == tonumber(next_expected), tonumber(head[4] or 0)
    if not is_first or not made or made < tonumber(confirmed) then return {'behind', after} end
  end
  if index > after then return {'behind', after} end
  if index == after then
    redis.call('RPUSH', log_key, blob)
    return nil
  end
  if index >= first and redis.call('LINDEX', log_key, index - first) ~= blob then
    return {'conflict'}
  end
  -- WAIT covers only writes of its own connection, and the first attempt may have used another connection.
  -- Therefore this attempt writes, too. (PERSIST: see renew.lua.)
  redis.call('PERSIST', head_key)
  redis.call('HSET', head_key, 'first', first)
  return nil
end

local replies, all_ok = {}, true
for at = 1, #KEYS / 2 do
  local key, arg = 2 * at, 7 * at
  local is_done, reply = pcall(append, KEYS[key - 1], KEYS[key], tonumber(ARGV[arg - 6]), ARGV[arg - 5],
    tonumber(ARGV[arg - 4]), ARGV[arg - 3], ARGV[arg - 2], ARGV[arg - 1], ARGV[arg])
  if not is_done and type(reply) ~= 'table' then reply = {err = reply} end
  all_ok = all_ok and is_done and not reply
  replies[at] = reply or {'ok'}
end
if all_ok then return {'ok'} end
return replies
