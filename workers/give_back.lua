-- Put a reserved message back at the head of its list; nothing where it is reserved no more.
--
-- KEYS: what the run has reserved, the list to put it in, the job's record, running jobs, waiting jobs
-- ARGV: its tag, the message, the job's id, 1 where its run is to be forgotten
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('RPUSH', KEYS[2], ARGV[2])
-- Given back by a worker that ends in peace: the job has not brought it down, and waits again.
if ARGV[4] == '1' and redis.call('HGET', KEYS[3], 'state') == 'running' then
  local enqueued_at = tonumber(redis.call('HGET', KEYS[3], 'enqueued_at') or 0)
  if enqueued_at ~= enqueued_at then
    enqueued_at = 0 -- no number
  end
  redis.call('ZREM', KEYS[4], ARGV[3])
  redis.call('ZADD', KEYS[5], enqueued_at or 0, ARGV[3])
  redis.call('HSET', KEYS[3], 'state', 'waiting')
end
return 1
