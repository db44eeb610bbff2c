-- End a job, once.
--
-- KEYS: the job's record, waiting jobs, running jobs, jobs that ended so, Celery's result, deadlines, counters of
--       rare events, metrics; then each queue's order and its scheduled jobs
-- ARGV: id, now, state, items that failed, error, seconds the record is kept, operation, items, Celery's result
--       ('' for none), the state to end it from ('' for any, 'unstarted' for any but running), its inputs, packed
--       ('' for unknown), the prefix of what workers have reserved, 1 if a chord has to count
--       it, the metric of such ends; then metrics and by how much each has grown
-- Returns 1, or 0 if the job has ended before, is in another state, or is to expire while it waits but has
--       started in time: nothing is changed then, but a waiting job that is to be cancelled and runs is asked to end.
--@include count
--@include finish
local FIXED_KEYS, FIXED_ARGUMENTS = 8, 14
local record, waiting, running, ended, result, deadlines, counts, metrics = unpack(KEYS, 1, FIXED_KEYS)
local id, now, state, items_failed, error_text, ttl_s, op, items, value, only_from, inputs, reserved, chord,
  metric = unpack(ARGV, 1, FIXED_ARGUMENTS)

local found = redis.call('HMGET', record, 'state', 'started_at')
local before = found[1]

local function may_end()
  if before and before ~= 'waiting' and before ~= 'running' then
    count(counts, 'ended_before', 1, counts)
    return false
  end
  if only_from == 'unstarted' then
    return before ~= 'running'
  end
  if state == 'cancelled' and only_from == 'waiting' and before == 'running' then
    redis.call('HSET', record, 'cancelled_at', now)
    return false
  end
  -- One that has started in time does not expire while it waits to be tried again.
  return only_from == '' or (before == only_from and not (state == 'expired' and found[2]))
end

local ends = may_end()
if ends then
  finish({
    record = record, waiting = waiting, running = running, ended = ended, result = result, deadlines = deadlines,
    orders = { unpack(KEYS, FIXED_KEYS + 1) },
  }, {
    id = id, state = state, now = now, items_failed = items_failed, error = error_text, ttl_s = ttl_s, op = op,
    items = items, result = value, inputs = inputs, reserved = reserved, keeps_message = chord == '1',
  })
  count(metrics, metric, 1, counts)
end
for index = FIXED_ARGUMENTS + 1, #ARGV, 2 do
  count(metrics, ARGV[index], ARGV[index + 1], counts)
end
return ends and 1 or 0
