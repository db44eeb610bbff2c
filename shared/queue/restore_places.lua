-- Restore the places of waiting jobs after somebody has deleted an order, in a bounded step.
--
-- KEYS: waiting jobs, k of each queue (a hash); then for each queue its order, its scheduled jobs, its idle
--       workers, its ten inlets, its candidates, its paused tenants
-- ARGV: the cursor of a ZSCAN of the waiting jobs, about how many jobs to look at, the prefixes of records and of
--       unacked deliveries, now; then each queue's name, and its k if the hash has none
-- Returns the next cursor, how many places were restored, and the ids of jobs without a message. While an inlet
--       has messages, no ids are returned: the missing messages may be among those.
--@include order
--@include tenants
--@include arrivals
local FIXED_KEYS, FIXED_ARGUMENTS = 2, 5
local waiting, ks = unpack(KEYS, 1, FIXED_KEYS)
local cursor, most, records, reserved, now = unpack(ARGV, 1, FIXED_ARGUMENTS)
local call = redis.call
-- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script.
call('ZREM', waiting, '')

local queues, all_admitted = {}, true
for number = 0, (#ARGV - FIXED_ARGUMENTS) / 2 - 1 do
  local name, k = unpack(ARGV, FIXED_ARGUMENTS + 1 + 2 * number, FIXED_ARGUMENTS + 2 + 2 * number)
  local first = FIXED_KEYS + number * KEYS_A_QUEUE
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  queues[name] = { order = order, scheduled = scheduled, idle = idle, k = tonumber(call('HGET', ks, name) or k) }
  all_admitted = all_admitted and call('EXISTS', inlets_of(first)) == 0
end

local function has_place(keys, place, tenant)
  if not (place and keys) then
    return false
  end
  if call('ZSCORE', keys.scheduled, place) then
    return true
  end
  if not tenant then
    return call('ZSCORE', keys.order, place)
  end
  local of = tenants_of(keys.order, records, tonumber(now))
  return call('ZSCORE', of.held, place) and call('ZSCORE', of.about(tenant).jobs, place)
end

local next_cursor, found = unpack(call('ZSCAN', waiting, cursor, 'COUNT', most))
local restored, lost = 0, {}

local function restore(id)
  local record = records .. id
  local state, place, queue, tag, worker_id, level, since, due_at, tenant, start_by =
    unpack(call('HMGET', record, 'state', 'place', 'queue', 'tag', 'worker_id', 'level', 'since', 'due_at',
      'tenant', 'start_by'))
  local keys = queues[queue]
  if has_place(keys, place, tenant) then
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
    local virtual = time_of_place(number_of(since), number_of(level), keys.k, start_by)
    if tenant then
      tenants_of(keys.order, records, tonumber(now)).hold(tenant, place, virtual)
    else
      call('ZADD', keys.order, virtual, place)
    end
    wake_one(keys.idle)
  end
  restored = restored + 1
end

for index = 1, #found, 2 do
  restore(found[index])
end
return { next_cursor, restored, lost }
