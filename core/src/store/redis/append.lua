-- Puts blobs at the end of partitions' logs: one each, or several of one partition in their order. What is
-- wrong with one of them does not touch the others.
--
-- KEYS   for each blob: head, log
-- ARGV   for each blob: epoch, the claim's name (see claim.lua), index, blob
-- Reply  {'ok'} if all are there; otherwise an answer for each blob:
--        {'ok'} | {'fenced'} | {'behind', next index} | {'conflict'} | an error
-- Again  An index that the log has answers 'ok' if the blob is the same, one below the log answers 'ok'
--        always, and neither appends anything; so a call may be sent any number of times.
--
-- The next index is not stored: it is the first one plus the length of the log, and so cannot differ
-- from what is there.
local function append(head_key, log_key, mine, claim, index, blob)
  local head = redis.call('HMGET', head_key, 'epoch', 'first', 'claim')
  local epoch, first = tonumber(head[1] or 0), tonumber(head[2] or 0)
  local after = first + redis.call('LLEN', log_key)
  if mine < epoch then return {'fenced'} end
  if mine > epoch then return {'behind', after} end
  if claim ~= '' and claim ~= head[3] then return {'fenced'} end
  if index > after then return {'behind', after} end
  if index == after then
    redis.call('RPUSH', log_key, blob)
    return nil
  end
  if index >= first and redis.call('LINDEX', log_key, index - first) ~= blob then
    return {'conflict'}
  end
  -- The first sending may have been on another connection, and WAIT promises only to wait for what its own
  -- connection wrote. So something is written here, too. (PERSIST: see renew.lua.)
  redis.call('PERSIST', head_key)
  redis.call('HSET', head_key, 'first', first)
  return nil
end

local answers, are_all_there = {}, true
for at = 1, #KEYS / 2 do
  local key, arg = 2 * at, 4 * at
  local is_done, answer = pcall(append, KEYS[key - 1], KEYS[key], tonumber(ARGV[arg - 3]), ARGV[arg - 2],
    tonumber(ARGV[arg - 1]), ARGV[arg])
  if not is_done and type(answer) ~= 'table' then answer = {err = answer} end
  are_all_there = are_all_there and is_done and not answer
  answers[at] = answer or {'ok'}
end
if are_all_there then return {'ok'} end
return answers
