-- Publish one message of a job: write its record and give it a place in its queue's order.
--
-- KEYS: the job's record, its queue's order, its scheduled jobs, its idle workers, waiting jobs, running jobs,
--       deadlines, the sequence of places, k of each queue (a hash)
-- ARGV: now, id, message, operation, queue, level, items, enqueued at ('' if unknown), due at ('' for now),
--       deadline ('' for none), retries, 1 if it is part of a chord, k if the hash has none, tenant ('' for none),
--       when the result is wanted ('' if unknown), 1 if a full Redis must accept it: a retry, the next step of a chain, or an upkeep task
-- Returns 'entered', 'known' or 'ended'. Without keys it does nothing: this loads the script before a pipeline.
--@include enter
if #KEYS == 0 then
  return
end
local record, order, scheduled, idle, waiting, running, deadlines, sequence, ks = unpack(KEYS)
local now, id, message, op, queue, level, items, enqueued_at, due_at, deadline_at, retries, chord, k, tenant,
  wanted_by, must =
  unpack(ARGV)
local key = { record = record, order = order, scheduled = scheduled, idle = idle, waiting = waiting,
  running = running, deadlines = deadlines, sequence = sequence }
if must == '1' then
  -- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script.
  redis.call('ZREM', key.waiting, '')
end
return redis.status_reply(enter(key, {
  id = id, message = message, op = op, queue = queue, level = tonumber(level), items = items,
  enqueued_at = tonumber(enqueued_at), due_at = tonumber(due_at), deadline_at = tonumber(deadline_at),
  retries = tonumber(retries), chord = chord == '1', tenant = tenant ~= '' and tenant or nil,
  wanted_by = tonumber(wanted_by),
}, tonumber(now), tonumber(redis.call('HGET', ks, queue) or k)))
