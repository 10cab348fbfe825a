-- In front of the scripts that record or compare sizes: the end of the log and the number of streams, in the field `sizes` of
-- the head. They show the next owner that the key of the log or of the streams is lost.
--
-- The field is `END STREAMS CLAIM END STREAMS`. Both numbers are stored twice, so that a damaged one is ignored. An owner of
-- release 0.1 records no sizes, and those of an earlier claim do not count.
local function recorded(head_key, claim)
  local text = redis.call('HGET', head_key, 'sizes') or ''
  local ends, streams, name = string.match(text, '^(%d+) (%d+) (%S+) %1 %2$')
  if claim and name == claim and #ends <= 15 and #streams <= 15 then return tonumber(ends), tonumber(streams) end
end

local function record(head_key, claim, ends, streams)
  if not claim then return end
  local sizes = string.format('%.0f %.0f', ends, streams)
  redis.call('HSET', head_key, 'sizes', sizes .. ' ' .. claim .. ' ' .. sizes)
end

