-- Admit jobs to the orders of queues, in a bounded step: those whose time has come, and messages of plain
-- clients. Wake an idle worker if anything waits.
--
-- KEYS: waiting jobs, running jobs, deadlines, the sequence of places, k of each queue, refused messages; then
--       for each queue its order, its scheduled jobs, its idle workers, its ten lists
-- ARGV: now, the most bytes of a message, the prefix of records, each task's operation as text, the most jobs of
--       each queue and kind, the most bytes of each queue's messages; then each queue's name, and k if no other
--       is in force
-- Returns 1 if more are left, otherwise 0.
--
-- Mostly there is nothing to admit, and upkeep looks many times a second: so each queue is asked two questions
-- first.
--@include order
local FIXED_KEYS, KEYS_A_QUEUE, FIXED_ARGUMENTS = 6, 13, 6
local waiting, running, deadlines, sequence, ks, refused = unpack(KEYS, 1, FIXED_KEYS)
local now, most_bytes, records, ops, most, most_bytes_in_all = unpack(ARGV, 1, FIXED_ARGUMENTS)
now, most_bytes, most, most_bytes_in_all = tonumber(now), tonumber(most_bytes), tonumber(most), tonumber(most_bytes_in_all)
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on.
redis.call('ZREM', waiting, '')
local all_admitted = true
for number = 0, (#ARGV - FIXED_ARGUMENTS) / 2 - 1 do
  local first = FIXED_KEYS + number * KEYS_A_QUEUE
  local queue, k = unpack(ARGV, FIXED_ARGUMENTS + 1 + 2 * number, FIXED_ARGUMENTS + 2 + 2 * number)
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  if redis.call('EXISTS', unpack(KEYS, first + 4, first + KEYS_A_QUEUE)) > 0
    or redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, 1)[1] then
    --@include admit
    local admission = {
      queue = queue, records = records, refused = refused, ops = ops, now = now, most_bytes = most_bytes,
      lists = { unpack(KEYS, first + 4, first + KEYS_A_QUEUE) }, k = tonumber(redis.call('HGET', ks, queue) or k),
      key = { order = order, scheduled = scheduled, idle = idle, waiting = waiting, running = running,
        deadlines = deadlines, sequence = sequence },
    }
    all_admitted = admit_due(admission, most) and all_admitted
    all_admitted = admit_messages(admission, most, most_bytes_in_all) and all_admitted
  elseif redis.call('ZCARD', order) > 0 then
    wake_one(idle) -- a worker that was to come has died, or had no room
  end
end
return all_admitted and 0 or 1
