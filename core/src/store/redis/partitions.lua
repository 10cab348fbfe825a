-- Sets the number of partitions at the first use of a store.
--
-- KEYS   1 partitions
-- ARGV   1 requested number
-- Reply  {'ok', number in force}: the stored number, or else the requested one
-- Retry  Idempotent.
local count = redis.call('GET', KEYS[1])
if not count then
  count = ARGV[1]
  redis.call('SET', KEYS[1], count)
end
return {'ok', tonumber(count)}
