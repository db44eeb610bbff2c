-- End a job, once.
--
-- KEYS: the job's record, waiting jobs, running jobs, jobs in the final state, Celery's result, deadlines,
--       counters of rare events, metrics; then each queue's order and its scheduled jobs
-- ARGV: now, the prefix of unacked deliveries, then the parts of an end (see `ending`): id, state, number of
--       failed items, error, TTL of the record in seconds, operation, number of items, Celery's result ('' for
--       none), the state to end it from ('' for any, 'unstarted' for any but running), its inputs, packed
--       ('' if unknown), 1 if a chord has to count it, the metric of such ends, then pairs of a metric and its
--       increment
-- Returns 1, or 0 if the job has ended before or is in another state.
--@include ending
local FIXED_KEYS, FIXED_ARGUMENTS = 8, 2
local record, waiting, running, ended, result, deadlines, counts, metrics = unpack(KEYS, 1, FIXED_KEYS)
local now, reserved = unpack(ARGV, 1, FIXED_ARGUMENTS)

local key = {
  record = record, waiting = waiting, running = running, ended = ended, result = result, deadlines = deadlines,
  counts = counts, metrics = metrics, orders = { unpack(KEYS, FIXED_KEYS + 1) },
}
return end_job(key, now, reserved, FIXED_ARGUMENTS + 1, #ARGV) and 1 or 0
