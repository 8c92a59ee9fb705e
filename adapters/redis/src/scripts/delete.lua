-- Deletes a session with all that belongs to it, and tells its turns. ARGV: caller, what this deletion is known by, if
-- anything.
local found = redis.call('HMGET', h, 's', 'o', 'holder', 'gone')
if found[1] and not may_use(ARGV[3], found[2]) then
  return 'foreign'
end
-- Sent again after an answer that was lost: to whoever asks it makes a difference that it was there.
if found[4] and found[4] == ARGV[4] then
  return 'deleted'
end
local waiting = redis.call('LRANGE', q, 0, -1)
redis.call('DEL', h, m, q, w)
if not found[1] then
  return 'missing'
end
if ARGV[4] then
  redis.call('HSET', h, 'gone', ARGV[4])
  redis.call('PEXPIRE', h, 5000)
end
if found[3] then
  tell(found[3])
end
for _, ticket in ipairs(waiting) do
  tell(ticket)
end
return 'deleted'
