-- A session and its memory. ARGV: caller.
local found = redis.call('HMGET', h, 's', 'o', 'holder', 'until')
if not found[1] or not may_use(ARGV[3], found[2]) then
  return {'none'}
end
-- It does not go under a running turn, however soon idle ones do.
touch(found[3] and tonumber(found[4]) - now or 0)
return {'open', found[1], redis.call('LRANGE', m, 0, -1)}
