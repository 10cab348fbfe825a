-- In front of the scripts that read settings. A setting has three copies in each of two keys, so that damage of a copy and
-- the loss of a key are harmless. A single copy is that of release 0.1.

-- The value of three copies, and whether they are damaged.
local function vote(a, b, c)
  if a and (a == b or a == c) then return a end
  if b and b == c then return b end
  local count = (a and 1 or 0) + (b and 1 or 0) + (c and 1 or 0)
  return count == 1 and (a or b or c) or nil, count > 1
end

local function copies(key, name) return redis.call('HMGET', key, name, name .. '#2', name .. '#3') end

-- The value of a setting; without one, the reply to damaged copies, or nil if the store has none.
local function setting(name, ...)
  local damaged
  for _, key in ipairs({...}) do
    local found = copies(key, name)
    local value, is_damaged = vote(unpack(found))
    if value then return value end
    if is_damaged then damaged = damaged or {'damaged', name, found[1] or '', found[2] or '', found[3] or ''} end
  end
  return nil, damaged
end

-- Writes all copies of a setting if one differs.
local function complete(value, name, ...)
  for _, key in ipairs({...}) do
    local found = copies(key, name)
    if found[1] ~= value or found[2] ~= value or found[3] ~= value then
      redis.call('HSET', key, name, value, name .. '#2', value, name .. '#3', value)
    end
  end
end
