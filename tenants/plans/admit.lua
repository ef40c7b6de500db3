-- Checks a call against all limits at once. It is counted only if every limit admits it.
--
-- KEYS[1]: the prefix of the tenant's keys.
-- ARGV: how many calls are requested at once; the number of windows; for each window its name,
-- limit, cost of a call, duration in milliseconds, and what was used of it elsewhere. Then, for
-- queries only: the limit of slots, milliseconds after which a slot that was never given back is
-- free again, and the name of the requested slot, which the caller may already hold.
--
-- Returns "denied left ttl left ttl ...": the number of the limit that denied the call (0: none),
-- then for each window, and for the slots, what is left and milliseconds until the window ends.
local base, calls, windows = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local found, denied, at = {}, 0, 3

for i = 1, windows do
  local limit, cost, known = tonumber(ARGV[at + 1]), calls * ARGV[at + 2], tonumber(ARGV[at + 4])
  local used = math.max(tonumber(redis.call('GET', base .. ARGV[at]) or '0'), known)
  found[i] = used
  if used + cost > limit and denied == 0 then denied = i end
  at = at + 5
end

local slots, now, held = tonumber(ARGV[at]), 0, 0
if slots then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', base .. 'queries', '-inf', now)
  held = redis.call('ZCARD', base .. 'queries')
  if redis.call('ZSCORE', base .. 'queries', ARGV[at + 2]) then held = held - 1 end
  if held >= slots and denied == 0 then denied = windows + 1 end
end

local answer = { denied }
at = 3
for i = 1, windows do
  local key, limit, cost, life = base .. ARGV[at], ARGV[at + 1], calls * ARGV[at + 2], ARGV[at + 3]
  local used, ttl = found[i], redis.call('PTTL', key)
  if denied == 0 then
    used = string.format('%.0f', used + cost)
    if ttl > 0 then
      redis.call('SET', key, used, 'KEEPTTL')
    else
      redis.call('SET', key, used, 'PX', life)
      ttl = life
    end
  end
  answer[#answer + 1] = string.format('%.0f', math.max(0, limit - used))
  answer[#answer + 1] = tonumber(ttl) > 0 and ttl or life
  at = at + 5
end

if slots then
  if denied == 0 then
    redis.call('ZADD', base .. 'queries', now + ARGV[at + 1], ARGV[at + 2])
    redis.call('PEXPIRE', base .. 'queries', ARGV[at + 1])
    held = held + 1
  end
  answer[#answer + 1] = math.max(0, slots - held)
  answer[#answer + 1] = 0
end
return table.concat(answer, ' ')
