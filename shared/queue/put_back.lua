-- Give waiting jobs whose places are gone their places again, in a bounded step. Somebody has deleted a key.
--
-- KEYS: waiting jobs, k of each queue; then each queue's order, its scheduled jobs, its idle workers, its ten lists
-- ARGV: where to go on in the waiting jobs (as ZSCAN has it), about how many jobs, the prefixes of records and of
--       what workers have reserved, now; then the queues' names, each with k if no other is in force
-- Returns where to go on, how many jobs have got their places again, and the ids of those without a message. If
-- a list still has messages, theirs may be among those, so none is returned.
--@include order
local FIXED_KEYS, KEYS_A_QUEUE, FIXED_ARGUMENTS = 2, 13, 5
local waiting, ks = unpack(KEYS, 1, FIXED_KEYS)
local cursor, most, records, reserved, now = unpack(ARGV, 1, FIXED_ARGUMENTS)
local call = redis.call
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on.
call('ZREM', waiting, '')

local queues, all_admitted = {}, true
for number = 0, (#ARGV - FIXED_ARGUMENTS) / 2 - 1 do
  local name, k = unpack(ARGV, FIXED_ARGUMENTS + 1 + 2 * number, FIXED_ARGUMENTS + 2 + 2 * number)
  local first = FIXED_KEYS + number * KEYS_A_QUEUE
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  queues[name] = { order = order, scheduled = scheduled, idle = idle, k = tonumber(call('HGET', ks, name) or k) }
  all_admitted = all_admitted and call('EXISTS', unpack(KEYS, first + 4, first + KEYS_A_QUEUE)) == 0
end

local function has_place(keys, place)
  return place and keys and (call('ZSCORE', keys.order, place) or call('ZSCORE', keys.scheduled, place))
end

local next_cursor, found = unpack(call('ZSCAN', waiting, cursor, 'COUNT', most))
local count, lost = 0, {}

local function look_at(id)
  local record = records .. id
  local state, place, queue, tag, worker_id, level, since, due_at =
    unpack(call('HMGET', record, 'state', 'place', 'queue', 'tag', 'worker_id', 'level', 'since', 'due_at'))
  local keys = queues[queue]
  if has_place(keys, place) then
    return
  end
  if call('HEXISTS', record, 'message') == 0 then
    if all_admitted and (not state or state == 'waiting') then
      lost[#lost + 1] = id
    end
    return
  end
  if state ~= 'waiting' or not keys or (tag and call('HEXISTS', reserved .. (worker_id or ''), tag) == 1) then
    return
  end
  call('HDEL', record, 'tag', 'worker_id')
  if number_of(due_at) > tonumber(now) then
    call('ZADD', keys.scheduled, due_at, place)
  else
    call('ZADD', keys.order, virtual_time(number_of(since), number_of(level), keys.k), place)
    wake_one(keys.idle)
  end
  count = count + 1
end

for index = 1, #found, 2 do
  look_at(found[index])
end
return { next_cursor, count, lost }
