-- Publish one message and enter its job into the ledger, both or neither; nothing where the job is
-- open and this message of it, or a later one, has been published before.
--
-- KEYS: the waiting list, the job's record, waiting jobs, running jobs, deadlines
-- ARGV: the message, the job's id, operation, level, items, enqueued at, deadline ('' for none),
--       retries, 1 where another job sends it
local record = redis.call('HMGET', KEYS[2], 'state', 'retries')
local state, published = record[1], tonumber(record[2] or 0)
local open = state == 'waiting' or state == 'running'
if not state then
  if ARGV[9] == '1' then
    -- The next step of a chain: a Redis that is full lets it in, or the step that is done would fail.
    -- A ZREM takes no memory, so it lets a script that starts with one go on.
    redis.call('ZREM', KEYS[3], ARGV[2])
  end
  redis.call('HSET', KEYS[2], 'state', 'waiting', 'op', ARGV[3], 'level', ARGV[4],
    'items', ARGV[5], 'enqueued_at', ARGV[6])
  if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[2], 'deadline_at', ARGV[7])
    redis.call('ZADD', KEYS[5], ARGV[7], ARGV[2])
  end
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2])
elseif state == 'running' and ARGV[8] ~= '0' then
  -- The job tries again: its message is published before the run that failed has ended.
  redis.call('ZREM', KEYS[4], ARGV[2])
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[2])
  redis.call('HSET', KEYS[2], 'state', 'waiting')
end
if open and tonumber(ARGV[8]) <= published then
  -- Its message is there already. The step of a chain that ran twice sends the next step twice, say,
  -- and what was sent is sent again where its answer was late.
  return redis.status_reply('OK')
end
if ARGV[8] ~= '0' then
  redis.call('HSET', KEYS[2], 'retries', ARGV[8])
end
redis.call('LPUSH', KEYS[1], ARGV[1])
return redis.status_reply('OK')
