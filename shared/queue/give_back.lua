-- Requeue a delivery. A job gets its place in the order back. A message of another queue goes to the head of its
-- list.
--
-- KEYS: the worker's unacked deliveries (a hash), waiting jobs, running jobs, jobs to give up on (a set), k of
--       each queue; then each queue's order and its idle workers
-- ARGV: the tag, the prefix of records, 1 if the delivery was lost (its worker or pool process has died), the
--       number of lost deliveries from which on to give up, now ('' for Redis's clock), the list and the message to requeue if it is not a
--       job; then each queue's name, and its k if the hash has none
-- If too many deliveries of a job were lost, it is not requeued, and upkeep makes a dead letter of it.
-- Returns 1, or 0 if the worker has no such delivery.
--@include order
--@include tenants
local FIXED_KEYS, FIXED_ARGUMENTS = 5, 7
local reserved, waiting, running, given_up, ks = unpack(KEYS, 1, FIXED_KEYS)
local tag, records, is_lost, most_lost, now, list, message = unpack(ARGV, 1, FIXED_ARGUMENTS)
local call = redis.call
local entry = call('HGET', reserved, tag)
if not entry then
  return 0
end
local queue, id = string.match(entry, '^\n([^\n]*)\n(.*)$')
if not id then
  call('HDEL', reserved, tag)
  call('RPUSH', list, message)
  return 1
end
local record = records .. id
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
call('HDEL', reserved, tag)
local state, held_by, op, level, since, enqueued_at, place, started_at, lost, history,
    tenant, start_by, charged =
  unpack(call('HMGET', record, 'state', 'tag', 'op', 'level', 'since', 'enqueued_at', 'place', 'started_at',
    'lost', 'history', 'tenant', 'start_by', 'charged'))
if held_by ~= tag or call('HEXISTS', record, 'message') == 0 then
  return 1 -- the job has ended, or is being retried
end
local order, idle, k
for number = 0, (#ARGV - FIXED_ARGUMENTS) / 2 - 1 do
  local name, given_k = unpack(ARGV, FIXED_ARGUMENTS + 1 + 2 * number, FIXED_ARGUMENTS + 2 + 2 * number)
  if name == queue then
    order, idle = unpack(KEYS, FIXED_KEYS + 1 + 2 * number, FIXED_KEYS + 2 + 2 * number)
    k = tonumber(call('HGET', ks, queue) or given_k)
  end
end
local of
if tenant and order then
  if now == '' then
    local time = call('TIME')
    now = time[1] + time[2] / 1e6
  end
  of = tenants_of(order, records, tonumber(now))
  call('HDEL', record, 'charged')
  of.release(tenant, id, {}, charged, started_at, is_lost == '1')
end
if state == 'running' and is_lost == '1' and op ~= '' then
  lost = number_of(lost) + 1
  local worker_id = call('HGET', record, 'worker_id') or ''
  local worker = string.match(worker_id, '^(.*):[^:]*:[^:]*$') or worker_id
  call('HSET', record, 'lost', lost, 'history', (history or '') .. (started_at or '') .. ' ' .. worker .. '\n')
  if lost >= tonumber(most_lost) then
    call('SADD', given_up, id)
    return 1
  end
end
call('HDEL', record, 'tag', 'worker_id')
call('HSET', record, 'returned', 1)
if state == 'running' then
  call('HSET', record, 'state', 'waiting')
  if op ~= '' then
    call('ZREM', running, id)
    call('ZADD', waiting, number_of(enqueued_at), id)
  end
end
if order then
  local virtual = time_of_place(number_of(since), number_of(level), k, start_by)
  if of then
    of.hold(tenant, place, virtual)
  else
    call('ZADD', order, virtual, place)
  end
  wake_one(idle)
end
return 1
