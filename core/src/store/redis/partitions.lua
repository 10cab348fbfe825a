-- Sets the layout at the first use of a store: the number of partitions and the key of the partition hash.
--
-- KEYS   1 partitions, 2 format
-- ARGV   1 requested number, 2 hash key as hexadecimal digits for a new store; empty: unkeyed
-- Reply  {'ok', stored number, hash key in force or '', stored version or ''}. The number is followed by ' keyed' in a
--        store with a key.
--        {'damaged', setting, three copies}
-- Retry  Idempotent. The first call determines number and key.
--
-- Each setting has three copies, and the script replaces a missing or damaged one. Release 0.1 knows only the first
-- copy of the number, and only the unkeyed hash. Its script cannot read `64 keyed` as a number, so that release refuses
-- the store.
local function damaged(name, a, b, c) return {'damaged', name, a or '', b or '', c or ''} end

local first = redis.call('GET', KEYS[1])
local format = redis.call('HMGET', KEYS[2], 'partitions#2', 'partitions#3', 'hash_key', 'hash_key#2', 'hash_key#3',
  'version', 'version#2', 'version#3')
local stored, number_damaged = vote(first, format[1], format[2])
local key, key_damaged = vote(format[3], format[4], format[5])
local version, version_damaged = vote(format[6], format[7], format[8])
if number_damaged then return damaged('partitions', first, format[1], format[2]) end
if key_damaged then return damaged('hash_key', format[3], format[4], format[5]) end
if version_damaged then return damaged('version', format[6], format[7], format[8]) end

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
if key and (format[3] ~= key or format[4] ~= key or format[5] ~= key) then
  redis.call('HSET', KEYS[2], 'hash_key', key, 'hash_key#2', key, 'hash_key#3', key)
end
return {'ok', stored, key or '', version or ''}
