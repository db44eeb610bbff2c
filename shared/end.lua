-- End a job, once: its state, and Celery's result for all who wait for that.
--
-- After count.lua.
-- KEYS: the job's record, waiting jobs, running jobs, jobs ended so, Celery's result, counters,
--       metrics
-- ARGV: the job's id, now, state, items that failed, error, seconds the record is kept,
--       operation, items, Celery's result ('' for none), the state to end it from ('' for any,
--       'unstarted' for any but running),
--       the metric of such ends; then metrics and by how much each has grown
-- Returns 1, or 0 where the job has ended before, is in another state, or shall expire while it waits
--       but has started in time: nothing is changed then.
local function add_counts()
  for i = 12, #ARGV, 2 do
    count(KEYS[7], ARGV[i], ARGV[i + 1], KEYS[6])
  end
end

local record = redis.call('HMGET', KEYS[1], 'state', 'op', 'started_at')
if record[1] and record[1] ~= 'waiting' and record[1] ~= 'running' then
  count(KEYS[6], 'ended_before', 1, KEYS[6])
  add_counts()
  return 0
end
-- One that has started in time does not expire while it waits to be tried again.
local in_time = ARGV[3] == 'expired' and record[3]
if ARGV[10] == 'unstarted' then
  if record[1] == 'running' then
    add_counts()
    return 0
  end
elseif ARGV[10] ~= '' and (record[1] ~= ARGV[10] or in_time) then
  add_counts()
  return 0
end
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on.
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not record[2] then
  redis.call('HSET', KEYS[1], 'op', ARGV[7], 'items', ARGV[8])
end
-- Each process knows Redis's clock to within a millisecond; time goes forward nevertheless.
local ended_at = ARGV[2]
if record[3] and (tonumber(record[3]) or 0) > tonumber(ended_at) then
  ended_at = record[3]
end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'ended_at', ended_at, 'items_failed', ARGV[4], 'error', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
if ARGV[9] ~= '' then
  redis.call('SETEX', KEYS[5], ARGV[6], ARGV[9])
  redis.call('PUBLISH', KEYS[5], ARGV[9])
end
count(KEYS[7], ARGV[11], 1, KEYS[6])
add_counts()
return 1
