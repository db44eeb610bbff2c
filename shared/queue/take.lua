-- Take the next job for a worker and mark it running. Before that, end and acknowledge the jobs that the worker
-- has finished.
--
-- All of it is one script, so that a worker can die at any moment without losing a job. A job is delivered with a
-- flag, and is not run, if it has expired, was cancelled, or has ended but is not yet counted by its chord. If
-- somebody has overwritten a record with a value that is not a hash, the job is counted and skipped, so that the
-- worker gets the other jobs.
--
-- KEYS: the worker's unacked deliveries (a hash), the worker ids (a set), waiting jobs, running jobs, counters of
--       started jobs, counters of rare events, deadlines, the sequence of places, k of each queue (a hash),
--       refused messages, done jobs, metrics, the worker's wake list; the order and the scheduled jobs of all
--       queues; then for each queue with an order to take from: its order, its scheduled jobs, its idle workers,
--       its ten inlets, the candidates of its tenants, its paused tenants; then lists of other queues, the most urgent first
-- ARGV: worker id, the most bytes of a message, the prefixes of records, of results and of unacked deliveries,
--       each task's operation as text, 1 if the worker will block if there is no job, the number of keys of all
--       queues, the number of queues with an order to take from; for each of them its name, and its k if the hash
--       has none; then the tag of the new delivery, now, the number of jobs to end, for each of them the number of
--       its arguments and these (see `ending`); then the tags to acknowledge
-- Returns false if no job waits. Otherwise it returns the queue (or list), the message, the flag, 1 if it was
--       delivered before, the id, and since when it waits (both '' for messages of other queues).
--
-- Creating all functions takes 8 us, so each rare step includes its own.
--@include count
--@include order
--@include tenants
--@include arrived
local FIXED_KEYS, FIXED_ARGUMENTS, KEYS_A_QUEUE, INLETS = 13, 8, 15, 10
-- Most jobs and bytes to admit to each order in one call, and most records that may turn out to be missing.
local MOST_DUE, MOST_MESSAGES, MOST_BYTES, MOST_GONE = 8, 8, 262144, 16

local reserved, workers, waiting, running, started, counts, deadlines, sequence, ks, refused, done, metrics, wake =
  unpack(KEYS, 1, FIXED_KEYS)
local worker_id, most_bytes, records, results, all_reserved, waits, order_count, queue_count =
  unpack(ARGV, 1, FIXED_ARGUMENTS)
order_count, queue_count = tonumber(order_count), tonumber(queue_count)
local before_queues = FIXED_KEYS + order_count
local after_queues = FIXED_ARGUMENTS + 2 * queue_count + 1
local tag, now_text, end_count = unpack(ARGV, after_queues, after_queues + 2)
local call, now = redis.call, tonumber(now_text)

local index = after_queues + 3
if end_count ~= '0' then
  --@include ending
  local key = { waiting = waiting, running = running, ended = done, deadlines = deadlines, counts = counts,
    metrics = metrics, orders = { unpack(KEYS, FIXED_KEYS + 1, before_queues) } }
  for _ = 1, end_count do
    local first, last = index + 1, index + ARGV[index]
    key.record, key.result = records .. ARGV[first], results .. ARGV[first]
    if not pcall(end_job, key, now_text, all_reserved, first, last) then
      count(counts, 'damaged_records', 1, counts)
    end
    index = last + 1
  end
end
if index <= #ARGV then
  --@include acknowledging
  for each = index, #ARGV do
    if not pcall(acknowledge, reserved, ARGV[each], records) then
      count(counts, 'damaged_records', 1, counts)
    end
  end
end

local queues, all_admitted, has_tenants = {}, true, false
for number = 1, queue_count do
  local first = before_queues + (number - 1) * KEYS_A_QUEUE
  local name, k = unpack(ARGV, FIXED_ARGUMENTS + 2 * number - 1, FIXED_ARGUMENTS + 2 * number)
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  local candidates = KEYS[first + KEYS_A_QUEUE - 1]
  -- Usually there is nothing to admit, and no tenant. One EXISTS is cheaper here than `has_arrivals`.
  if call('EXISTS', scheduled, unpack(KEYS, first + 4, first + KEYS_A_QUEUE)) > 0 then
    if call('EXISTS', scheduled, unpack(KEYS, first + 4, first + 3 + INLETS)) > 0 then
      --@include admit
      local admission = {
        queue = name, records = records, refused = refused, now = now, most_bytes = tonumber(most_bytes),
        lists = { unpack(KEYS, first + 4, first + 3 + INLETS) }, k = tonumber(call('HGET', ks, name) or k),
        key = { order = order, scheduled = scheduled, idle = idle, waiting = waiting, running = running,
          deadlines = deadlines, sequence = sequence },
      }
      all_admitted = admit_due(admission, MOST_DUE) and all_admitted
      all_admitted = admit_messages(admission, MOST_MESSAGES, MOST_BYTES) and all_admitted
    end
    if call('EXISTS', KEYS[first + KEYS_A_QUEUE]) == 1 then
      tenants_of(order, records, now).settle_paused(MOST_DUE)
    end
    has_tenants = call('EXISTS', candidates) == 1 or has_tenants
  end
  queues[number] = { name = name, order = order, idle = idle, candidates = candidates }
end

-- The virtual time without the head start of strict levels (k = 0). With it, the jobs of a queue with k > 0 would
-- always go first.
local function due_at(virtual)
  return virtual >= STRICT_S and virtual % STRICT_S or virtual
end

-- The queue whose first job goes first, or nil if no job waits.
local function best_queue()
  if queue_count == 1 then
    return queues[1]
  end
  local best, earliest
  for _, each in ipairs(queues) do
    local head = call('ZRANGE', each.order, 0, 0, 'WITHSCORES')
    local due = head[2] and due_at(tonumber(head[2]))
    if due and (not best or due < earliest) then
      best, earliest = each, due
    end
  end
  return best
end

local function reserve(entry)
  call('HSET', reserved, tag, entry)
  if worker_id ~= '' then
    call('SADD', workers, worker_id)
  end
end

local function flag_of(state, cancelled_at, deadline_at, started_at)
  if not is_open(state) then
    return state
  end
  if cancelled_at then
    return 'cancelled'
  end
  return deadline_at and not started_at and now > tonumber(deadline_at) and 'expired' or ''
end

-- charge: as in `take_of_tenants`, if the job is of a tenant
local function hand_over(queue, place, tenant, charge)
  local id = id_of(place)
  local record = records .. id
  local found = redis.pcall('HMGET', record, 'state', 'message', 'op', 'level', 'since', 'cancelled_at',
    'deadline_at', 'started_at', 'returned', 'items')
  if found.err then
    count(counts, 'damaged_records', 1, counts)
    return nil
  end
  local state, message, op, level, since, cancelled_at, deadline_at, started_at, before, items = unpack(found)
  if not message then
    return nil
  end
  reserve('\n' .. queue.name .. '\n' .. id)
  local flag = flag_of(state, cancelled_at, deadline_at, started_at)
  if flag ~= '' then
    call('HSET', record, 'tag', tag, 'worker_id', worker_id)
  else
    call('HSET', record, 'state', 'running', 'started_at', now_text, 'tag', tag, 'worker_id', worker_id)
    if tenant then
      call('HSET', record, 'charged', charge(queue, tenant, place, since, op, items))
    end
    if op ~= '' then
      call('ZREM', waiting, id)
      call('ZADD', running, now_text, id)
      count(started, 'jobs:' .. level, 1, counts)
      local waited_s = math.max(0, now - tonumber(since))
      redis.pcall('HINCRBYFLOAT', started, 'waited_s:' .. level, string.format('%.6f', waited_s))
    end
  end
  return { queue.name, message, flag, before and 1 or 0, id, since }
end

local found, found_in
if has_tenants then
  --@include take_of_tenants
  for _ = 1, MOST_GONE do
    local queue, place, tenant = pop_next()
    local taken = place and hand_over(queue, place, tenant, charge_taken)
    if tenant and not (taken and taken[3] == '') then
      drop(queue, tenant, place)
    end
    if taken or not queue then
      found, found_in = taken, queue
      break
    end
  end
else
  for _ = 1, MOST_GONE do
    local queue = best_queue()
    local popped = queue and call('ZPOPMIN', queue.order) or {}
    local taken = popped[1] and hand_over(queue, popped[1])
    if taken or not popped[1] then
      found, found_in = taken, queue
      break
    end
  end
end
if found then
  for _, each in ipairs(queues) do
    call('ZREM', each.idle, wake)
  end
  if not all_admitted or call('ZCARD', found_in.order) > 0
    or (has_tenants and call('ZCARD', found_in.candidates) > 0) then
    wake_one(found_in.idle)
  end
  return found
end

for each = before_queues + queue_count * KEYS_A_QUEUE + 1, #KEYS do
  local list = KEYS[each]
  local message = call('RPOP', list)
  if message then
    reserve(list .. '\n' .. message)
    return { list, message, '', 0, '', '' }
  end
end
if waits == '1' then
  call('DEL', wake) -- an old element would wake the worker for nothing
  for _, queue in ipairs(queues) do
    if all_admitted and call('ZCARD', queue.order) == 0 and call('ZCARD', queue.candidates) == 0 then
      call('ZADD', queue.idle, now, wake)
    else
      call('LPUSH', wake, 1)
    end
  end
end
return false
