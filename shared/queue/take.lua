-- Take the next job, note who has it, and mark it running; end and acknowledge what this worker has done before.
--
-- No moment is left in which a worker can die with a job that nobody knows of. A job whose deadline has
-- passed, that was cancelled, or whose part of a chord is still to be counted is handed over with a flag, and
-- is not run. A record that is no hash, by somebody's hand, is counted and passed over: it must not keep a worker
-- from all other jobs.
--
-- KEYS: what the worker has reserved (a hash), the worker ids, waiting jobs, running jobs, counters of started
--       jobs, counters of rare events, deadlines, the sequence of places, k of each queue, refused messages,
--       done jobs, metrics, the list on which this worker blocks while it is idle; the order and the scheduled
--       jobs of all queues; then for each queue with an order that is taken from: its order, its scheduled jobs,
--       its idle workers, its ten lists; then lists of other queues, the most urgent first
-- ARGV: worker id, the most bytes of a message, the prefixes of records, of results and of what workers have
--       reserved, each task's operation as text, 1 if the worker waits when there is nothing to take, the number
--       of keys of all queues, the number of queues with an order that are taken from; for each of them its name
--       and k if no other is in force; then the tag to reserve under, now, the number of jobs to end, for each of
--       them how many arguments follow and these (see `ending`); then the tags of messages to acknowledge
-- Returns false if nothing waits; otherwise the queue (or list), the message, the flag, 1 if it was delivered
--       before, the id and since when it waits (both '' for other queues' messages).
--
-- To make the functions of all steps costs 8 us, so each step that is rare makes its own.
--@include count
--@include order
local FIXED_KEYS, FIXED_ARGUMENTS, KEYS_A_QUEUE = 13, 9, 13
-- Jobs that one call admits to each order, and records that it may find gone.
local MOST_DUE, MOST_MESSAGES, MOST_BYTES, MOST_GONE = 8, 8, 262144, 16

local reserved, workers, waiting, running, started, counts, deadlines, sequence, ks, refused, done, metrics, wake =
  unpack(KEYS, 1, FIXED_KEYS)
local worker_id, most_bytes, records, results, all_reserved, ops, waits, order_count, queue_count =
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

local queues, all_admitted = {}, true
for number = 1, queue_count do
  local first = before_queues + (number - 1) * KEYS_A_QUEUE
  local name, k = unpack(ARGV, FIXED_ARGUMENTS + 2 * number - 1, FIXED_ARGUMENTS + 2 * number)
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  -- Mostly nothing is to be admitted. One question is enough to know.
  if call('EXISTS', scheduled, unpack(KEYS, first + 4, first + KEYS_A_QUEUE)) > 0 then
    --@include admit
    local admission = {
      queue = name, records = records, refused = refused, ops = ops, now = now, most_bytes = tonumber(most_bytes),
      lists = { unpack(KEYS, first + 4, first + KEYS_A_QUEUE) }, k = tonumber(call('HGET', ks, name) or k),
      key = { order = order, scheduled = scheduled, idle = idle, waiting = waiting, running = running,
        deadlines = deadlines, sequence = sequence },
    }
    all_admitted = admit_due(admission, MOST_DUE) and all_admitted
    all_admitted = admit_messages(admission, MOST_MESSAGES, MOST_BYTES) and all_admitted
  end
  queues[number] = { name = name, order = order, idle = idle }
end

-- Strict levels (k = 0) count for nothing against another queue: its jobs would always go before.
local function due_at(virtual)
  return virtual >= STRICT_S and virtual % STRICT_S or virtual
end

-- The queue whose best job is due first; nil if none waits.
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

local function hand_over(queue, place)
  local id = id_of(place)
  local record = records .. id
  local found = redis.pcall('HMGET', record, 'state', 'message', 'op', 'level', 'since', 'cancelled_at',
    'deadline_at', 'started_at', 'returned')
  if found.err then
    count(counts, 'damaged_records', 1, counts)
    return nil
  end
  local state, message, op, level, since, cancelled_at, deadline_at, started_at, before = unpack(found)
  if not message then
    return nil
  end
  reserve('\n' .. queue.name .. '\n' .. id)
  local flag = flag_of(state, cancelled_at, deadline_at, started_at)
  if flag ~= '' then
    call('HSET', record, 'tag', tag, 'worker_id', worker_id)
  else
    call('HSET', record, 'state', 'running', 'started_at', now_text, 'tag', tag, 'worker_id', worker_id)
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

for _ = 1, MOST_GONE do
  local queue = best_queue()
  local popped = queue and call('ZPOPMIN', queue.order) or {}
  if not popped[1] then
    break
  end
  local taken = hand_over(queue, popped[1])
  if taken then
    for _, each in ipairs(queues) do
      call('ZREM', each.idle, wake)
    end
    if not all_admitted or call('ZCARD', queue.order) > 0 then
      wake_one(queue.idle)
    end
    return taken
  end
end

for each = before_queues + queue_count * KEYS_A_QUEUE + 1, #KEYS do
  local message = call('RPOP', KEYS[each])
  if message then
    reserve(KEYS[each] .. '\n' .. message)
    return { KEYS[each], message, '', 0, '', '' }
  end
end
if waits == '1' then
  call('DEL', wake) -- or it would be woken for nothing
  for _, queue in ipairs(queues) do
    if all_admitted and call('ZCARD', queue.order) == 0 then
      call('ZADD', queue.idle, now, wake)
    else
      call('LPUSH', wake, 1)
    end
  end
end
return false
