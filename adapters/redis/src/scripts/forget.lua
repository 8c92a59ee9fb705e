-- Removes a session for good; tells whether there was anything of it. KEYS: as in record.lua.
-- ARGV: the session's name, how long it is remembered that it was forgotten, in ms, and 1 if that is so although there is
-- nothing of it here.
local removed = redis.call('DEL', KEYS[1], KEYS[2])
if #KEYS > 3 then
  removed = removed + redis.call('DEL', KEYS[4])
  removed = removed + redis.call('SREM', KEYS[5], ARGV[1])
  removed = removed + redis.call('ZREM', KEYS[6], ARGV[1])
end
if removed > 0 or ARGV[3] == '1' then
  redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
end
return removed
