-- Keeps a running turn's lease. ARGV: ticket, lease in ms.
local found = redis.call('HMGET', h, 's', 'holder')
if not found[1] then
  return 'deleted'
end
if found[2] ~= ARGV[3] then
  return 'fenced'
end
redis.call('HSET', h, 'until', now + ARGV[4])
touch(tonumber(ARGV[4]))
return 'ok'
