-- Admit jobs to one queue's order, in a bounded step: those whose time has come, and messages of plain clients.
--
-- KEYS: waiting jobs, running jobs, deadlines, the sequence of places, k of each queue, refused messages, the
--       queue's order, its scheduled jobs, its tokens, its ten lists
-- ARGV: now, the most bytes of a message, the prefix of records, each task's operation as text, the queue's name,
--       k if no other is in force, the most jobs of each kind, the most bytes of messages
-- Returns 1 if more are left, otherwise 0.
--@include admit
local waiting, running, deadlines, sequence, ks, refused, order, scheduled, tokens = unpack(KEYS, 1, 9)
local now, most_bytes, records, ops, queue, k, most, most_bytes_in_all = unpack(ARGV)
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on.
redis.call('ZREM', waiting, '')
local admission = {
  queue = queue, records = records, refused = refused, ops = ops, now = tonumber(now),
  most_bytes = tonumber(most_bytes), lists = { unpack(KEYS, 10) },
  k = tonumber(redis.call('HGET', ks, queue) or k),
  key = { order = order, scheduled = scheduled, tokens = tokens, waiting = waiting, running = running,
    deadlines = deadlines, sequence = sequence },
}
local due_left = not admit_due(admission, tonumber(most))
local messages_left = not admit_messages(admission, tonumber(most), tonumber(most_bytes_in_all))
if redis.call('ZCARD', order) > 0 then
  leave_token(tokens)
end
return (due_left or messages_left) and 1 or 0
