-- Undo the counting of calls that were asked for ahead and did not come, in minutes that still last.
--
-- KEYS: the windows' keys. ARGV[1]: how many calls.
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) > 0 then redis.call('DECRBY', key, ARGV[1]) end
end
