-- Publish one message of a job: enter it into its queue's order.
--
-- KEYS: the job's record, its queue's order, its scheduled jobs, its idle workers, waiting jobs, running jobs,
--       deadlines, the sequence of places, k of each queue (a hash)
-- ARGV: now, id, message, operation, queue, level, items, enqueued at ('' for unknown), due at ('' for now),
--       deadline ('' for none), retries, 1 if it is part of a chord, k if no other is in force,
--       1 if a full Redis must take it: a retry, the next step of a chain, or a duty of upkeep
-- Without keys it does nothing: a pipeline must not be the first to ask for it.
--@include enter
if #KEYS == 0 then
  return
end
local key = { record = KEYS[1], order = KEYS[2], scheduled = KEYS[3], idle = KEYS[4], waiting = KEYS[5],
  running = KEYS[6], deadlines = KEYS[7], sequence = KEYS[8] }
local ks = KEYS[9]
local now, id, message, op, queue, level, items, enqueued_at, due_at, deadline_at, retries, chord, k, must =
  unpack(ARGV)
if must == '1' then
  -- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on.
  redis.call('ZREM', key.waiting, '')
end
return redis.status_reply(enter(key, {
  id = id, message = message, op = op, queue = queue, level = tonumber(level), items = items,
  enqueued_at = tonumber(enqueued_at), due_at = tonumber(due_at), deadline_at = tonumber(deadline_at),
  retries = tonumber(retries), chord = chord == '1',
}, tonumber(now), tonumber(redis.call('HGET', ks, queue) or k)))
