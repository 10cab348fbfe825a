-- Records a heartbeat: adds a core to the membership, or removes it. Raises the stored version.
--
-- KEYS   1 members, 2 cores, 3 format, 4 its copy
-- ARGV   1 name, 2 standby (0 or 1), 3 lease in milliseconds from now; 0 removes the core, 4 heartbeat number,
--        5 newest stored version that this core permits
-- Reply  {'damaged', 'version', three copies} | {'ok', number of the previous heartbeat, stored version, name, standby, version, name, standby, version,
--        ...}: all live members
-- Retry  Extends the lease by the delay of the retry, and reports itself as the previous heartbeat.
--
-- The version rises only if the heartbeats of the sender have arrived without a gap for two of its leases. After an
-- outage or a step of the clock all memberships may have expired, and other living cores have not returned yet.
--
-- The script of release 0.1 deletes entries of other form from `members`, so version and lease have their own key.
-- A core without an entry there is of release 0.1, and counts as version 1.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lease = tonumber(ARGV[3])
local stored, damaged = setting('version', KEYS[3], KEYS[4])
if damaged then return damaged end
-- A single copy may be no number. More than 9 digits exceed every version.
if stored and not string.find(stored, '^%d%d?%d?%d?%d?%d?%d?%d?%d?$') then return {'damaged', 'version', stored, '', ''} end

redis.call('PERSIST', KEYS[1]) -- see renew.lua
local expiry, last = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) %d (%d+)$')
if not expiry or tonumber(expiry) <= now then last = 0 end
local gap = ARGV[4] - last
local since = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^%d+ %d+ (%d+)$')
since = tonumber(since) or now
if tonumber(last) == 0 or gap < 0 or gap > 1 or since > now then since = now end
if lease == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], (now + lease) .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[5] .. ' ' .. ARGV[3] .. ' ' .. since)
end

local versions, leases, cores = {}, {}, redis.call('HGETALL', KEYS[2])
for at = 1, #cores, 2 do
  local version, length = string.match(cores[at + 1], '^(%d+) (%d+)')
  versions[cores[at]], leases[cores[at]] = tonumber(version), tonumber(length)
end

local live, is_live, lowest, entries = {}, {}, nil, redis.call('HGETALL', KEYS[1])
for at = 1, #entries, 2 do
  local name = entries[at]
  local expires, standby, number = string.match(entries[at + 1], '^(%d+) (%d) (%d+)$')
  -- An end further away than the lease shows that the clock was set back. FIRST_LEASE bounds an unknown lease.
  local latest = now + (leases[name] or math.max(lease, 10000))
  if expires and tonumber(expires) > latest then
    expires = latest
    redis.call('HSET', KEYS[1], name, latest .. ' ' .. standby .. ' ' .. number)
  end
  if expires and tonumber(expires) > now then
    local version = versions[name] or 1
    lowest, is_live[name] = math.min(lowest or version, version), true
    live[#live + 1] = name
    live[#live + 1] = tonumber(standby)
    live[#live + 1] = version
  else
    redis.call('HDEL', KEYS[1], name)
  end
end
for at = 1, #cores, 2 do
  if not is_live[cores[at]] then redis.call('HDEL', KEYS[2], cores[at]) end
end

local raised = tonumber(stored or 1)
if lowest and lease > 0 and now - since >= 2 * lease then raised = math.max(raised, lowest) end
if raised > 1 then complete(string.format('%d', raised), 'version', KEYS[3], KEYS[4]) end
return {'ok', tonumber(last), raised, unpack(live)}
