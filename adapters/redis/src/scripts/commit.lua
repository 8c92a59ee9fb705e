-- Ends a turn by storing its messages. ARGV: ticket, how many to keep, messages.
local ticket = ARGV[3]
local found = redis.call('HMGET', h, 's', 'holder', 'done')
if not found[1] then
  return 'deleted'
end
-- The ends of the tickets that committed last, newest first: between a commit and its being sent again, after a lost
-- answer, all others that were waiting may have had their turns.
local mark, done = string.sub(ticket, -16) .. ' ', found[3] or ''
if string.find(done, mark, 1, true) then
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
redis.call('HSET', h, 'done', string.sub(mark .. done, 1, 33 * #mark))
touch(0)
tell_next()
return 'ok'
