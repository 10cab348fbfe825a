-- Adds, replaces or removes an API token.
--
-- KEYS   1 tokens
-- ARGV   1 token id, 2 record, empty to remove the token, 3 new version, 4 greatest number of tokens
-- Reply  {'ok', 1 if the token existed} | {'too many'}
-- Retry  Idempotent.
local field = 't:' .. ARGV[1]
local existed = redis.call('HEXISTS', KEYS[1], field)
if ARGV[2] == '' then
    redis.call('HDEL', KEYS[1], field)
else
    local others = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], 'version') - existed
    if others >= tonumber(ARGV[4]) then return {'too many'} end
    redis.call('HSET', KEYS[1], field, ARGV[2])
end
redis.call('HSET', KEYS[1], 'version', ARGV[3])
return {'ok', existed}
