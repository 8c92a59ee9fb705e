-- Puts the archive's index right about some sessions: in one step, so that none is lost that is archived meanwhile.
-- KEYS: set, index, which share a slot. ARGV: a session's name, its place in the index or '' if that is not known, …
-- Returns how many more sessions the set has than the index.
for i = 1, #ARGV, 2 do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[i])
  elseif ARGV[i + 1] ~= '' then
    redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
  end
end
return redis.call('SCARD', KEYS[1]) - redis.call('ZCARD', KEYS[2])
