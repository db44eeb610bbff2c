-- End a job: set its state, publish Celery's result to those who wait for it, and shrink its record.
--
-- The message is removed, so the record of an ended job is small. If a chord still has to count the job, the
-- message stays until the acknowledgement. If the worker dies before the chord has counted, the message is
-- delivered again.

--@include order
--@include costs
--@include tenants
--@include arrived

-- key: record, waiting, running, ended (jobs in the final state), result, deadlines, orders (each queue's order
--      and scheduled jobs)
-- ending: id, state, now (text), items_failed, error, ttl_s, result ('' for none), op and items (used if the
--      record has none), inputs ('' if unknown), reserved (the prefix of unacked deliveries), keeps_message

-- The longest value with which Redis stores a hash compactly.
local PIECE_BYTES = 64

local function finish(key, ending)
  local call = redis.call
  -- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script.
  local has_waited = call('ZREM', key.waiting, ending.id) == 1
  if not has_waited then
    call('ZREM', key.running, ending.id)
  end
  local state, op, level, items, enqueued_at, started_at, deadline_at, worker, worker_id, tag, place, history,
    tenant, queue, wanted_by, charged =
    unpack(call('HMGET', key.record, 'state', 'op', 'level', 'items', 'enqueued_at', 'started_at', 'deadline_at',
      'worker', 'worker_id', 'tag', 'place', 'history', 'tenant', 'queue', 'wanted_by', 'charged'))
  if has_waited and queue then
    count_arrived(string.gsub(key.orders[1], 'order:.*$', 'order:' .. queue), 'gone')
  end
  if tenant and place then
    local records, orders, own = string.sub(key.record, 1, -#ending.id - 1), {}, nil
    for index = 1, #key.orders, 2 do
      local order = key.orders[index]
      orders[#orders + 1] = order
      if string.match(order, 'order:(.*)$') == queue then
        own = tenants_of(order, records, tonumber(ending.now))
        call('ZREM', key.orders[index + 1], place)
      end
    end
    if own and state == 'running' then
      own.release(tenant, ending.id, orders, charged, started_at)
    elseif own and own.unhold(tenant, place) then
      own.settle(tenant)
    end
  elseif place and state ~= 'running' then
    for _, order in ipairs(key.orders) do
      if call('ZREM', order, place) == 1 then
        break
      end
    end
  end
  -- One job of ten is measured, and each of a tenant.
  if ending.state == 'done' and started_at and place and op and (tenant or string.byte(place, SEQUENCE_DIGITS) == 48) then
    learn_cost(key.orders[1], op, number_of(items), tonumber(ending.now) - number_of(started_at))
  end
  if deadline_at then
    call('ZREM', key.deadlines, ending.id)
  end
  -- Processes know Redis's clock only to within a millisecond, but a job must not end before its start.
  local ended_at = ending.now
  if started_at and (tonumber(started_at) or 0) > tonumber(ended_at) then
    ended_at = started_at
  end
  if not items or items == '0' then
    items = ending.items -- messages of plain clients have no count
  end
  local kept = { 'state', ending.state, 'ended_at', ended_at, 'op', op or ending.op, 'items', items }
  local function keep(field, value)
    if value and value ~= '' then
      kept[#kept + 1] = field
      kept[#kept + 1] = value
    end
  end
  -- A worker id is the worker's name, its process and a unique number, separated by colons.
  keep('worker', worker_id and string.match(worker_id, '^(.*):[^:]*:[^:]*$') or worker_id or worker)
  keep('level', level)
  keep('enqueued_at', enqueued_at)
  keep('started_at', started_at)
  keep('deadline_at', deadline_at)
  keep('items_failed', ending.items_failed ~= '0' and ending.items_failed)
  keep('error', ending.error)
  keep('history', history)
  keep('tenant', tenant)
  keep('wanted_by', wanted_by)
  for number = 1, math.ceil(#ending.inputs / PIECE_BYTES) do
    keep('inputs' .. number, string.sub(ending.inputs, PIECE_BYTES * (number - 1) + 1, PIECE_BYTES * number))
  end
  if not ending.keeps_message then
    if tag and worker_id then
      call('HDEL', ending.reserved .. worker_id, tag)
    end
    call('DEL', key.record)
  end
  call('HSET', key.record, unpack(kept))
  call('EXPIRE', key.record, ending.ttl_s)
  call('ZADD', key.ended, ended_at, ending.id)
  if ending.result ~= '' then
    call('SETEX', key.result, ending.ttl_s, ending.result)
    call('PUBLISH', key.result, ending.result)
  end
end
