-- Deletes a session with all that belongs to it, and tells its turns. ARGV: caller.
local found = redis.call('HMGET', h, 's', 'o', 'holder')
if found[1] and not may_use(ARGV[3], found[2]) then
  return 'foreign'
end
local waiting = redis.call('LRANGE', q, 0, -1)
redis.call('DEL', h, m, q, w)
if not found[1] then
  return 'missing'
end
if found[3] then
  tell(found[3])
end
for _, ticket in ipairs(waiting) do
  tell(ticket)
end
return 'deleted'
