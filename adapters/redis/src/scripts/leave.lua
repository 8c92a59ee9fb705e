-- Gives up a place, the running turn's or one in the queue. ARGV: ticket.
local ticket = ARGV[3]
local holder = redis.call('HGET', h, 'holder')
if holder == ticket then
  redis.call('HDEL', h, 'holder', 'until')
  touch(0)
  holder = false
else
  redis.call('LREM', q, 1, ticket)
  redis.call('HDEL', w, ticket)
end
if not holder then
  tell_next()
end
return 'ok'
