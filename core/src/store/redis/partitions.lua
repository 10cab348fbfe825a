-- Sets the layout at the first use of a store: the number of partitions and the key of the partition hash.
--
-- KEYS   1 partitions, 2 format
-- ARGV   1 requested number, 2 hash key as hexadecimal digits for a new store; empty: unkeyed
-- Reply  {'ok', stored number, hash key in force or '', stored version or ''}. The number is followed by ' keyed' in a
--        store with a key.
-- Retry  Idempotent. The first call determines number and key.
--
-- Release 0.1 knows only the unkeyed hash. Its script cannot read `64 keyed` as a number, so that release refuses the
-- store.
local stored = redis.call('GET', KEYS[1])
if not stored then
  stored = ARGV[1]
  if ARGV[2] ~= '' then
    redis.call('HSETNX', KEYS[2], 'hash_key', ARGV[2])
    stored = stored .. ' keyed'
  end
  redis.call('SET', KEYS[1], stored)
end
local format = redis.call('HMGET', KEYS[2], 'hash_key', 'version')
return {'ok', stored, format[1] or '', format[2] or ''}
