-- Give waiting jobs whose places are gone their places again, in a bounded step. Somebody has deleted a key.
--
-- KEYS: waiting jobs, k of each queue; then each queue's order, its scheduled jobs, its tokens, its ten lists
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
  local order, scheduled, tokens = unpack(KEYS, first + 1, first + 3)
  queues[name] = { order = order, scheduled = scheduled, tokens = tokens, k = tonumber(call('HGET', ks, name) or k) }
  all_admitted = all_admitted and call('EXISTS', unpack(KEYS, first + 4, first + KEYS_A_QUEUE)) == 0
end

local function is_reserved(record, tag)
  return tag and call('HEXISTS', reserved .. (call('HGET', record, 'worker_id') or ''), tag) == 1
end

local function put_back(id)
  local record = records .. id
  local tag, place, queue, level, since, due_at = unpack(call('HMGET', record, 'tag', 'place', 'queue', 'level',
    'since', 'due_at'))
  local keys = queues[queue]
  if not place or not keys or call('ZSCORE', keys.order, place) or call('ZSCORE', keys.scheduled, place)
    or is_reserved(record, tag) then
    return false
  end
  call('HDEL', record, 'tag', 'worker_id')
  if due_at and tonumber(due_at) > tonumber(now) then
    call('ZADD', keys.scheduled, due_at, place)
  else
    call('ZADD', keys.order, virtual_time(number_of(since), number_of(level), keys.k), place)
    leave_token(keys.tokens)
  end
  return true
end

local next_cursor, found = unpack(call('ZSCAN', waiting, cursor, 'COUNT', most))
local count, lost = 0, {}
for index = 1, #found, 2 do
  local state = call('HGET', records .. found[index], 'state')
  if call('HEXISTS', records .. found[index], 'message') == 0 then
    if all_admitted and (not state or state == 'waiting') then
      lost[#lost + 1] = found[index]
    end
  elseif state == 'waiting' and put_back(found[index]) then
    count = count + 1
  end
end
return { next_cursor, count, lost }
