-- Enter a job: write its record with the message, and give it a place in the order.
--
-- A job's first message creates its record. A later one (a retry) replaces the message. A message that has been
-- entered before is dropped. This happens if a sender sends again because the answer was late, or if a step of a
-- chain ran twice and sends the next step twice.
--
-- If the task is not an operation (op ''), the job has a record, but is in none of the ledger's lists. Its record
-- is deleted when the message is acknowledged.
--@include order
--@include costs
--@include tenants
--@include arrived

-- By how many seconds an enqueue time may lie in the future, because a sender's clock differs from Redis's.
local SKEW_S = 1

-- key: record, order, scheduled, idle, waiting, running, deadlines, sequence
-- job: id, message, op, queue, level, items, enqueued_at, due_at, deadline_at, retries, chord, tenant,
--      wanted_by (numbers; nil for an unknown time, a missing flag, or no tenant)
-- Returns 'entered', 'known' or 'ended'.
local function enter(key, job, now, k)
  local call = redis.call
  local found = call('HMGET', key.record, 'state', 'retries', 'place', 'op', 'enqueued_at', 'since', 'cancelled_at',
    'tag', 'tenant', 'start_by', 'charged', 'started_at')
  local state, retries, place = found[1], tonumber(found[2] or 0), found[3]
  if state and not is_open(state) then
    return 'ended'
  end
  -- As in Celery, a task that is not an operation runs again if it is sent again while it runs.
  local runs_again = state == 'running' and found[4] == ''
  -- The place is missing if somebody has deleted the order. Without a new place, an upkeep task would never run
  -- again, because its id is always the same.
  local has_lost_place = state == 'waiting' and place and not found[8] and not call('ZSCORE', key.order, place)
    and not call('ZSCORE', key.scheduled, place)
    and not (found[9] and call('ZSCORE', tenants_of(key.order, '', now).held, place))
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
    -- A scheduled job begins to wait when it is due. A retry has waited since its first message.
    since = job.retries == 0 and job.due_at and math.max(enqueued_at, job.due_at) or enqueued_at
  end
  place = place or place_of(call('INCR', key.sequence), job.id)
  call('HSET', key.record, 'state', 'waiting', 'op', job.op, 'queue', job.queue, 'level', job.level,
    'items', job.items, 'enqueued_at', enqueued_at, 'since', since, 'retries', job.retries,
    'place', place, 'message', job.message)
  if job.chord then
    call('HSET', key.record, 'chord', 1)
  end
  local start_by = tonumber(found[10] or '')
  if job.wanted_by and not start_by then
    start_by = job.wanted_by - cost_of(key.order, job.op, job.items)
    call('HSET', key.record, 'wanted_by', job.wanted_by, 'start_by', start_by)
  end
  local tenant, of = job.op ~= '' and (found[9] or job.tenant), nil
  if tenant then
    of = tenants_of(key.order, string.sub(key.record, 1, -#job.id - 1), now)
    call('HSET', key.record, 'tenant', tenant)
  end
  if job.deadline_at and job.op ~= '' and not state then
    call('HSET', key.record, 'deadline_at', job.deadline_at)
    call('ZADD', key.deadlines, job.deadline_at, job.id)
  end
  if state == 'running' then
    -- Detach it from the worker that still has its earlier delivery, so that acknowledging that one does not
    -- end this one.
    call('ZREM', key.running, job.id)
    call('HDEL', key.record, 'tag', 'worker_id', 'charged')
    if tenant then
      of.release(tenant, job.id, {}, found[11], found[12])
    end
  end
  if job.op ~= '' then
    call('ZADD', key.waiting, enqueued_at, job.id)
    count_arrived(key.order, tenant and job.level .. ' ' .. tenant or job.level)
  end
  -- A job that was cancelled while it ran is not scheduled: the next worker takes it at once and ends it.
  if job.due_at and job.due_at > now and not found[7] then
    call('HSET', key.record, 'due_at', job.due_at)
    call('ZREM', key.order, place)
    if tenant and of.unhold(tenant, place) then
      of.settle(tenant)
    end
    call('ZADD', key.scheduled, job.due_at, place)
  else
    call('ZREM', key.scheduled, place)
    if tenant then
      of.hold(tenant, place, time_of_place(since, job.level, k, start_by))
    else
      call('ZADD', key.order, time_of_place(since, job.level, k, start_by), place)
    end
    wake_one(key.idle)
  end
  return 'entered'
end
