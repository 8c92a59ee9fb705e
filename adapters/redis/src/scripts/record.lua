-- Archives messages that are not yet there, and their session.
-- KEYS: list, ids, mark of a session that was forgotten; where all lie on one server, hash, set and index as well.
-- ARGV: the session's name, its place in the index, how many arguments its fields are, those; then id, message, …
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 'forgotten'
end
local fields = tonumber(ARGV[3])
if #KEYS > 3 then
  redis.call('HSET', KEYS[4], unpack(ARGV, 4, 3 + fields))
  redis.call('SADD', KEYS[5], ARGV[1])
  redis.call('ZADD', KEYS[6], ARGV[2], ARGV[1])
end
for i = 4 + fields, #ARGV, 2 do
  -- In this order: what is refused half way is not undone, and an id without its message would keep that out for good.
  if redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then
    redis.call('RPUSH', KEYS[1], ARGV[i + 1])
    redis.call('SADD', KEYS[2], ARGV[i])
  end
end
return 'ok'
