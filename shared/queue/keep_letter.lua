-- Keep a dead letter; only count it where too many are kept.
--
-- KEYS: the letter, all letters, counters
-- ARGV: its id, now, the counter of such letters, the most letters ('' for any), then its fields and values
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on: what
-- is refused there must not come back to end the next worker, nor a killer job to run again.
--@include count
redis.call('ZREM', KEYS[2], ARGV[1])
count(KEYS[3], ARGV[3], 1, KEYS[3])
if ARGV[4] ~= '' and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
