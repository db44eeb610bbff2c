-- Admit jobs to the orders of queues, in a bounded step: scheduled jobs that are due, and messages of plain
-- clients. Wake an idle worker if a job waits.
--
-- KEYS: waiting jobs, running jobs, deadlines, the sequence of places, k of each queue, refused messages; then
--       for each queue its order, its scheduled jobs, its idle workers, its ten inlets, its candidates, its
--       paused tenants
-- ARGV: now, the most bytes of a message, the prefix of records, each task's operation as text, the most jobs of
--       each queue and kind, the most bytes of each queue's messages; then each queue's name, and its k if the
--       hash has none
-- Returns 1 if more jobs are left to admit, otherwise 0, and when to look at a paused tenant ('' if there is none).
--
-- Usually there is nothing to admit, and upkeep calls this many times a second. So two cheap questions about
-- each queue come first.
--@include order
--@include arrivals
local FIXED_KEYS, FIXED_ARGUMENTS = 6, 5
local TAKEN_AFTER_S = 0.005
local waiting, running, deadlines, sequence, ks, refused = unpack(KEYS, 1, FIXED_KEYS)
local now, most_bytes, records, most, most_bytes_in_all = unpack(ARGV, 1, FIXED_ARGUMENTS)
now, most_bytes = tonumber(now), tonumber(most_bytes)
most, most_bytes_in_all = tonumber(most), tonumber(most_bytes_in_all)
-- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script.
redis.call('ZREM', waiting, '')
local all_admitted, look_at = true, nil
for number = 0, (#ARGV - FIXED_ARGUMENTS) / 2 - 1 do
  local first = FIXED_KEYS + number * KEYS_A_QUEUE
  local queue, k = unpack(ARGV, FIXED_ARGUMENTS + 1 + 2 * number, FIXED_ARGUMENTS + 2 + 2 * number)
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  local paused = KEYS[first + KEYS_A_QUEUE]
  if has_arrivals(first, now) then
    --@include admit
    local admission = {
      queue = queue, records = records, refused = refused, now = now, most_bytes = most_bytes,
      lists = { inlets_of(first) }, k = tonumber(redis.call('HGET', ks, queue) or k),
      key = { order = order, scheduled = scheduled, idle = idle, waiting = waiting, running = running,
        deadlines = deadlines, sequence = sequence },
    }
    local paused_before = redis.call('ZCARD', paused)
    tenants_of(order, records, now).settle_paused(most)
    if redis.call('ZCARD', paused) < paused_before then
      wake_one(idle) -- it takes the job at once, so the tenant waits for its rate again
      look_at = math.min(now + TAKEN_AFTER_S, look_at or math.huge)
    end
    all_admitted = admit_due(admission, most) and all_admitted
    all_admitted = admit_messages(admission, most, most_bytes_in_all) and all_admitted
  elseif has_next(first) then
    wake_one(idle) -- the worker that was woken for these jobs has died, or had no room
  end
  local at = tonumber(redis.call('ZRANGE', paused, 0, 0, 'WITHSCORES')[2])
  look_at = at and math.min(at, look_at or at) or look_at
end
return { all_admitted and 0 or 1, look_at and string.format('%.17g', look_at) or '' }
