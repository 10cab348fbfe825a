-- Sets the layout at the first use of a store: the number of partitions and the key of the partition hash.
--
-- KEYS   1 partitions, 2 format, 3 its copy
-- ARGV   1 requested number, 2 hash key as hexadecimal digits for a new store; empty: unkeyed
-- Reply  {'ok', stored number, hash key in force or '', stored version or ''}. The number is followed by ' keyed' in a
--        store with a key.
--        {'damaged', setting, three copies}
-- Retry  Idempotent. The first call determines number and key.
--
-- Each setting has copies, and the script replaces a missing or damaged one. Release 0.1 knows only the first copy of the
-- number, and only the unkeyed hash. Its script cannot read `64 keyed` as a number, so that release refuses the store.
local first = redis.call('GET', KEYS[1])
local format = redis.call('HMGET', KEYS[2], 'partitions#2', 'partitions#3')
local stored, is_damaged = vote(first, format[1], format[2])
if is_damaged then return {'damaged', 'partitions', first or '', format[1] or '', format[2] or ''} end
local key, key_damaged = setting('hash_key', KEYS[2], KEYS[3])
local version, version_damaged = setting('version', KEYS[2], KEYS[3])
if key_damaged or version_damaged then return key_damaged or version_damaged end

if not stored then
  stored = ARGV[1]
  if ARGV[2] ~= '' then
    key = key or ARGV[2]
    stored = stored .. ' keyed'
  end
end
if first ~= stored then redis.call('SET', KEYS[1], stored) end
if format[1] ~= stored or format[2] ~= stored then
  redis.call('HSET', KEYS[2], 'partitions#2', stored, 'partitions#3', stored)
end
if key then complete(key, 'hash_key', KEYS[2], KEYS[3]) end
return {'ok', stored, key or '', version or ''}
