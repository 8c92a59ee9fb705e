-- Removes a session for good; tells whether there was anything of it. KEYS: as in record.lua.
-- ARGV: the session's name, how long it is remembered that it was forgotten, in ms, 1 if that is so although there is
-- nothing of it here, what this deletion is known by.
-- Sent again after an answer that was lost: to whoever asks it makes a difference that there was something.
if redis.call('GET', KEYS[3]) == ARGV[4] then
  return 1
end
local removed = redis.call('DEL', KEYS[1], KEYS[2])
if #KEYS > 3 then
  removed = removed + redis.call('DEL', KEYS[4])
  removed = removed + redis.call('SREM', KEYS[5], ARGV[1])
  removed = removed + redis.call('ZREM', KEYS[6], ARGV[1])
end
if removed > 0 or ARGV[3] == '1' then
  redis.call('SET', KEYS[3], removed > 0 and ARGV[4] or '1', 'PX', ARGV[2])
end
return removed
