-- Ends a turn by storing its messages. ARGV: ticket, how many to keep, messages.
local ticket = ARGV[3]
local found = redis.call('HMGET', h, 's', 'holder', 'done')
if not found[1] then
  return 'deleted'
end
if found[3] == ticket then
  return 'ok'
end
if found[2] ~= ticket then
  return 'fenced'
end
for i = 5, #ARGV do
  redis.call('RPUSH', m, ARGV[i])
end
redis.call('LTRIM', m, -tonumber(ARGV[4]), -1)
redis.call('HDEL', h, 'holder', 'until')
redis.call('HSET', h, 'done', ticket)
touch(0)
tell_next()
return 'ok'
