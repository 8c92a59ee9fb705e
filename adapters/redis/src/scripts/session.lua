-- What the scripts of a session share. KEYS: the session, its memory, its queue, who of the queue is alive until when.
-- ARGV: idle time in ms (0: for ever), what replicas' channels begin with, then the script's own.
local h, m, q, w = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl, channels = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Ends the session's idleness; it stays for `least` ms in any case.
local function touch(least)
  for _, key in ipairs({h, m}) do
    if ttl == 0 then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, math.max(ttl, least))
    end
  end
end

-- Whether the caller may know of a session: '*' is the operator, '' a client without a key.
local function may_use(caller, owner)
  return caller == '*' or caller == owner
end

-- Takes those out of the queue who no longer ask, from its head to the first who does, or to `own`; that one, if any.
local function first_in_line(own)
  local first = redis.call('LINDEX', q, 0)
  while first and first ~= own and tonumber(redis.call('HGET', w, first) or 0) <= now do
    redis.call('LPOP', q)
    redis.call('HDEL', w, first)
    first = redis.call('LINDEX', q, 0)
  end
  return first
end

-- Tells a ticket's replica to look after it. Only a hint: it would find out by asking.
local function tell(ticket)
  local bar = string.find(ticket, '|', 1, true)
  redis.call('PUBLISH', channels .. string.sub(ticket, 1, bar - 1), string.sub(ticket, bar + 1))
end

local function tell_next()
  local first = first_in_line(nil)
  if first then
    tell(first)
  end
end
