-- Fixes the number of partitions at the first use of a store.
--
-- KEYS   1 partitions
-- ARGV   1 the wanted number
-- Reply  {'ok', the number that holds}: the wanted one, or the one that was there
-- Again  Sent again it answers the same.
local count = redis.call('GET', KEYS[1])
if not count then
  count = ARGV[1]
  redis.call('SET', KEYS[1], count)
end
return {'ok', tonumber(count)}
