-- Enter a job: its record with the message, and its place in the order. Both or neither.
--
-- A job's first message makes its record. A later one (a retry) takes the place of the one before. A message
-- that has been entered before is dropped: what was sent is sent again if its answer was late, and the step
-- of a chain that ran twice sends the next step twice.
--
-- A message of another task than an operation (op '') gets a record without a state in the ledger's lists.
-- Its record goes when it is acknowledged.
--@include order

-- Seconds by which the clocks of senders may differ from Redis's.
local SKEW_S = 1

-- key: record, order, scheduled, idle, waiting, running, deadlines, sequence
-- job: id, message, op, queue, level, items, enqueued_at, due_at, deadline_at, retries, chord
--      (numbers; nil for an unknown time, and for 'no')
-- Returns 'entered', 'known' or 'ended'.
local function enter(key, job, now, k)
  local call = redis.call
  local found = call('HMGET', key.record, 'state', 'retries', 'place', 'op', 'enqueued_at', 'since', 'cancelled_at',
    'tag')
  local state, retries, place = found[1], tonumber(found[2] or 0), found[3]
  if state and not is_open(state) then
    return 'ended'
  end
  -- Celery runs another task's message once more if it is sent while the first runs.
  local runs_again = state == 'running' and found[4] == ''
  -- Somebody has deleted the order. A duty of upkeep would never run again, as its id is always the same.
  local has_lost_place = state == 'waiting' and place and not found[8] and not call('ZSCORE', key.order, place)
    and not call('ZSCORE', key.scheduled, place)
  if place and job.retries <= retries and not runs_again and not has_lost_place then
    return 'known'
  end
  local enqueued_at = tonumber(found[5] or '')
  if not enqueued_at or enqueued_at == 0 then
    enqueued_at = job.enqueued_at
    if not enqueued_at or enqueued_at > now + SKEW_S then
      enqueued_at = now
    end
  end
  local since = tonumber(found[6] or '')
  if not since then
    -- A job that was sent for later has not waited before. A retry has, since its first message.
    since = job.retries == 0 and job.due_at and math.max(enqueued_at, job.due_at) or enqueued_at
  end
  place = place or place_of(call('INCR', key.sequence), job.id)
  call('HSET', key.record, 'state', 'waiting', 'op', job.op, 'queue', job.queue, 'level', job.level,
    'items', job.items, 'enqueued_at', enqueued_at, 'since', since, 'retries', job.retries,
    'place', place, 'message', job.message)
  if job.chord then
    call('HSET', key.record, 'chord', 1)
  end
  if job.deadline_at and job.op ~= '' and not state then
    call('HSET', key.record, 'deadline_at', job.deadline_at)
    call('ZADD', key.deadlines, job.deadline_at, job.id)
  end
  if state == 'running' then
    -- It is not what a worker has reserved any more: the acknowledgement of that must not end it.
    call('ZREM', key.running, job.id)
    call('HDEL', key.record, 'tag', 'worker_id')
  end
  if job.op ~= '' then
    call('ZADD', key.waiting, enqueued_at, job.id)
  end
  -- A job that was cancelled while it ran is not run again: the next worker ends it.
  if job.due_at and job.due_at > now and not found[7] then
    call('HSET', key.record, 'due_at', job.due_at)
    call('ZREM', key.order, place)
    call('ZADD', key.scheduled, job.due_at, place)
  else
    call('ZREM', key.scheduled, place)
    call('ZADD', key.order, virtual_time(since, job.level, k), place)
    wake_one(key.idle)
  end
  return 'entered'
end
