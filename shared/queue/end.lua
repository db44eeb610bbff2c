-- End a job, once.
--
-- KEYS: the job's record, waiting jobs, running jobs, jobs that ended so, Celery's result, deadlines, counters of
--       rare events, metrics; then each queue's order and its scheduled jobs
-- ARGV: now, the prefix of what workers have reserved, then what `ending` says of an end: id, state, items that
--       failed, error, seconds the record is kept, operation, items, Celery's result ('' for none), the state to
--       end it from ('' for any, 'unstarted' for any but running), its inputs, packed ('' for unknown), 1 if a
--       chord has to count it, the metric of such ends, more metrics
-- Returns 1, or 0 if it may not end so.
--@include ending
local FIXED_KEYS, FIXED_ARGUMENTS = 8, 2
local record, waiting, running, ended, result, deadlines, counts, metrics = unpack(KEYS, 1, FIXED_KEYS)
local now, reserved = unpack(ARGV, 1, FIXED_ARGUMENTS)

local key = {
  record = record, waiting = waiting, running = running, ended = ended, result = result, deadlines = deadlines,
  counts = counts, metrics = metrics, orders = { unpack(KEYS, FIXED_KEYS + 1) },
}
return end_job(key, now, reserved, FIXED_ARGUMENTS + 1, #ARGV) and 1 or 0
