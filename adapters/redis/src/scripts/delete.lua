-- Deletes a session with all that belongs to it, and tells its turns. ARGV: caller, how long to remember it, in ms, if at
-- all.
local found = redis.call('HMGET', h, 's', 'o', 'holder', 'gone')
-- To its owner it was just there, until what else belongs to it is gone as well.
local is_known, owner = found[1] or found[4], found[2] or ''
if is_known and not may_use(ARGV[3], owner) then
  return 'foreign'
end
local waiting = redis.call('LRANGE', q, 0, -1)
redis.call('DEL', h, m, q, w)
if not is_known then
  return 'missing'
end
if ARGV[4] then
  redis.call('HSET', h, 'gone', '1', 'o', owner)
  redis.call('PEXPIRE', h, ARGV[4])
end
if found[3] then
  tell(found[3])
end
for _, ticket in ipairs(waiting) do
  tell(ticket)
end
return 'deleted'
