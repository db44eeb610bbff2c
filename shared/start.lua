-- Record that a job runs, unless it must not: the state it is in then.
--
-- After count.lua.
-- KEYS: the job's record, waiting jobs, running jobs, counters of started jobs, counters of rare events
-- ARGV: the job's id, now, operation, items, worker, its process, level, enqueued at ('' for unknown),
--       the most runs that may end with their worker, the first items' references ('' for none),
--       a token of this start
local record = redis.call('HMGET', KEYS[1], 'state', 'cancelled_at', 'deadline_at', 'started_at', 'worker',
  'start_token', 'runs_lost')
local state, now = record[1], tonumber(ARGV[2])
if state and state ~= 'waiting' and state ~= 'running' then
  return state
end
if record[2] then
  return 'cancelled'
end
if record[3] and not record[4] and now > tonumber(record[3]) then
  return 'expired'
end
if state == 'running' and record[6] == ARGV[11] then
  -- The same start, sent again because its answer was late.
  return tonumber(record[7] or 0) >= tonumber(ARGV[9]) and 'dead' or 'running'
end
-- Neither ZREM takes memory, so a Redis that is full lets a script that starts with one go on.
redis.call('ZREM', KEYS[2], ARGV[1])
if state == 'running' then
  -- Its last run has not ended: the worker has, or its connection.
  local lost = redis.call('HINCRBY', KEYS[1], 'runs_lost', 1)
  local history = redis.call('HGET', KEYS[1], 'history') or ''
  redis.call('HSET', KEYS[1], 'history', history .. (record[4] or '') .. ' ' .. (record[5] or '') .. '\n',
    'start_token', ARGV[11])
  if lost >= tonumber(ARGV[9]) then
    return 'dead'
  end
end
-- Each process knows Redis's clock to within a millisecond; time goes forward nevertheless.
local enqueued_at = (ARGV[8] == '' or tonumber(ARGV[8]) > now) and ARGV[2] or ARGV[8]
local waited_s = math.max(0, now - tonumber(enqueued_at))
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'running', 'op', ARGV[3], 'items', ARGV[4],
  'started_at', ARGV[2], 'worker', ARGV[5], 'pid', ARGV[6], 'level', ARGV[7],
  'enqueued_at', enqueued_at, 'start_token', ARGV[11])
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[1], 'inputs', ARGV[10])
end
count(KEYS[4], 'jobs:' .. ARGV[7], 1, KEYS[5])
redis.pcall('HINCRBYFLOAT', KEYS[4], 'waited_s:' .. ARGV[7], string.format('%.6f', waited_s))
return 'running'
