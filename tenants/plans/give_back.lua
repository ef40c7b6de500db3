-- Subtracts calls that were admitted ahead but did not come, from windows that have not ended.
--
-- KEYS: the windows' keys. ARGV[1]: how many calls.
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) > 0 then redis.call('DECRBY', key, ARGV[1]) end
end
