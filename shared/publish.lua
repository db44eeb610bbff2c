-- Publish one message and enter its job into the ledger, both or neither; nothing where the job is
-- open and this is no retry of it.
--
-- KEYS: the waiting list, the job's record, waiting jobs, running jobs, deadlines
-- ARGV: the message, the job's id, operation, level, items, enqueued at, deadline ('' for none),
--       retries
local state = redis.call('HGET', KEYS[2], 'state')
if not state then
  redis.call('HSET', KEYS[2], 'state', 'waiting', 'op', ARGV[3], 'level', ARGV[4],
    'items', ARGV[5], 'enqueued_at', ARGV[6])
  if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[2], 'deadline_at', ARGV[7])
    redis.call('ZADD', KEYS[5], ARGV[7], ARGV[2])
  end
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2])
elseif ARGV[8] == '0' and (state == 'waiting' or state == 'running') then
  -- Its message is there already: the step of a chain that ran twice, say, sends the next step twice.
  return redis.status_reply('OK')
elseif state == 'running' then
  -- The job tries again: its message is published before the run that failed has ended.
  redis.call('ZREM', KEYS[4], ARGV[2])
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2])
  redis.call('HSET', KEYS[2], 'state', 'waiting')
end
redis.call('LPUSH', KEYS[1], ARGV[1])
return redis.status_reply('OK')
