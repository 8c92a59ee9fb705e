-- Takes a token of every bucket, or of none if one has none. KEYS: buckets. ARGV: requests a second, requests at once.
-- A bucket is 'tokens seconds'. It expires when it would be full again, and a refusal changes none.
-- Returns 0, or how many microseconds to wait. Sent again after an answer that was lost, it takes another: a connection is
-- not lost so often that remembering who has asked would be worth its room.
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local tokens, missing = {}, 0
local ats = {}
for i, key in ipairs(KEYS) do
  tokens[i], ats[i] = burst, now
  local bucket = redis.call('GET', key)
  if bucket then
    local had, at = string.match(bucket, '^(%S+) (%S+)$')
    had, at = tonumber(had), tonumber(at)
    tokens[i] = math.min(burst, had + math.max(0, now - at) * rate)
    ats[i] = math.max(at, now)
  end
  missing = math.max(missing, 1 - tokens[i])
end
-- Fractions add up to a token within rounding.
if missing > 1e-9 then
  return string.format('%.0f', math.min(9e15, math.ceil(missing / rate * 1000000)))
end
for i, key in ipairs(KEYS) do
  local left = math.max(0, tokens[i] - 1)
  -- Redis refuses times that it cannot count; a thousand years will do.
  local full_in = math.min(3e13, math.ceil((burst - left) / rate * 1000) + 1)
  redis.call('SET', key, string.format('%.17g %.17g', left, ats[i]), 'PX', string.format('%.0f', full_in))
end
return '0'
