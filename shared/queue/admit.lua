-- Admit jobs to a queue's order: scheduled jobs that are due, and messages that plain Celery clients have pushed
-- into kombu's lists.
--@include enter
--@include envelope

-- The first and last bytes of a message that is too large, which name its job. The most bytes in a dead letter.
local HEAD_BYTES, TAIL_BYTES, KEPT_BYTES = 1024, 16384, 65536

local function printable(text)
  return (string.gsub(text, '[^\32-\126]', '?'))
end

-- Put aside a message that no worker could read. Upkeep makes a dead letter of it.
local function refuse(admission, message, reason)
  local about = { queue = admission.queue, reason = reason, size = #message,
    number = redis.call('INCR', admission.key.sequence) }
  if reason == TOO_LARGE then
    about.head = printable(string.sub(message, 1, HEAD_BYTES))
    about.tail = printable(string.sub(message, -TAIL_BYTES))
  end
  redis.call('LPUSH', admission.refused, cjson.encode(about) .. '\n' .. string.sub(message, 1, KEPT_BYTES))
end

-- The operation of a task, or '' if the task is not an operation. shared/protocol/tasks.py has the same rule.
local function op_of(task)
  local op = task == 'infer.run' and 'infer' or string.match(task, '^cv%.(%l[%l%d_]*)$')
  return op and #op <= 48 and op or ''
end

-- admission: queue, lists (its inlets), key (as for `enter`), records (their prefix), refused (a list),
--            most_bytes, now, k
local function admit_message(admission, message, list_level)
  local found, reason = read(message, admission.most_bytes)
  if not found then
    return refuse(admission, message, reason)
  end
  local headers, properties, key = found.headers, found.properties, admission.key
  local id, task, op = text_from(headers.id), text_from(headers.task), ''
  if id and task then
    op = op_of(task)
  else
    -- In Celery's protocol 1 they are in the body. A worker reads or refuses it.
    id = 'message-' .. redis.call('INCR', key.sequence)
  end
  local level = properties.priority
  if level == nil then
    level = list_level
  end
  key.record = admission.records .. id
  enter(key, {
    id = id, message = message, op = op, queue = admission.queue, level = level_from(level),
    items = count_from(headers.items), enqueued_at = time_from(headers.enqueued_at),
    due_at = seconds_of(headers.eta), deadline_at = op ~= '' and time_from(headers.deadline_at) or nil,
    retries = count_from(headers.retries), chord = text_from(headers.group) ~= nil,
    tenant = tenant_from(headers.tenant), wanted_by = op ~= '' and time_from(headers.wanted_by) or nil,
  }, admission.now, admission.k)
end

-- Admit messages of the inlets, the most urgent level first. Returns false if `most` messages, or `most_bytes`,
-- were admitted, so that more may be left.
local function admit_messages(admission, most, most_bytes)
  local count, bytes = 0, 0
  if redis.call('EXISTS', unpack(admission.lists)) == 0 then
    return true
  end
  for index, list in ipairs(admission.lists) do
    while count < most and bytes < most_bytes do
      local message = redis.call('RPOP', list)
      if not message then
        break
      end
      count, bytes = count + 1, bytes + #message
      admit_message(admission, message, index - 1)
    end
  end
  return count < most and bytes < most_bytes
end

-- Admit scheduled jobs that are due. Returns false if `most` were admitted, so that more may be left.
local function admit_due(admission, most)
  local key = admission.key
  local due = redis.call('ZRANGEBYSCORE', key.scheduled, '-inf', admission.now, 'LIMIT', 0, most)
  for _, place in ipairs(due) do
    redis.call('ZREM', key.scheduled, place)
    local since, level, tenant, start_by =
      unpack(redis.call('HMGET', admission.records .. id_of(place), 'since', 'level', 'tenant', 'start_by'))
    local virtual = level and time_of_place(tonumber(since), tonumber(level), admission.k, start_by)
    if tenant then
      tenants_of(key.order, admission.records, admission.now).hold(tenant, place, virtual)
    elseif virtual then
      redis.call('ZADD', key.order, virtual, place)
    end
  end
  if #due > 0 then
    wake_one(key.idle)
  end
  return #due < most
end
