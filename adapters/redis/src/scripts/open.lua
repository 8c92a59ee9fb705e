-- Takes a place in the order of turns, or asks for the turn from the place it has.
-- ARGV: ticket, caller, lease in ms, how long one who waits is alive after asking in ms, how many may wait.
local ticket, caller, lease, alive, most = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local found = redis.call('HMGET', h, 's', 'o', 'holder', 'until')
if not found[1] or not may_use(caller, found[2]) then
  return {'none'}
end
local holder, lease_end = found[3], tonumber(found[4] or 0)
local is_free = not holder or holder == ticket or lease_end <= now
local first = first_in_line(ticket)

if holder == ticket or is_free and (not first or first == ticket) then
  redis.call('HSET', h, 'holder', ticket, 'until', now + lease)
  if first == ticket then
    redis.call('LPOP', q)
    redis.call('HDEL', w, ticket)
  end
  touch(lease)
  return {'open', found[1], redis.call('LRANGE', m, 0, -1)}
end

if redis.call('HEXISTS', w, ticket) == 0 then
  if redis.call('LLEN', q) >= most then
    -- Those of a replica that died take up no room.
    for _, waiting in ipairs(redis.call('LRANGE', q, 0, -1)) do
      if tonumber(redis.call('HGET', w, waiting) or 0) <= now then
        redis.call('LREM', q, 1, waiting)
        redis.call('HDEL', w, waiting)
      end
    end
  end
  if redis.call('LLEN', q) >= most then
    return {'full'}
  end
  redis.call('RPUSH', q, ticket)
end
redis.call('HSET', w, ticket, now + alive)
redis.call('PEXPIRE', q, math.max(lease, 2 * alive))
redis.call('PEXPIRE', w, math.max(lease, 2 * alive))
touch(math.max(lease_end - now, 2 * alive))
-- When to ask again: when whoever is before us may have died.
local next_end = is_free and tonumber(redis.call('HGET', w, first)) or lease_end
return {'wait', tostring(next_end - now)}
