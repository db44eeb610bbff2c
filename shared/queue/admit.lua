-- Bring jobs into the order: those whose time has come, and messages that plain Celery clients have pushed
-- onto kombu's lists.
--@include enter

-- Bytes of a message's headers and properties: a larger set is refused rather than parsed.
local HEADERS_MAX_BYTES = 131072
local HEAD_BYTES, TAIL_BYTES, KEPT_BYTES = 1024, 16384, 65536
local TOO_LARGE = 'too large'
-- Redis stores no later time, nor does Python's datetime: the end of the year 9999.
local LATEST = 253402300799
local COUNT_MAX = 1000000

local function printable(text)
  return (string.gsub(text, '[^\32-\126]', '?'))
end

local function finite(value)
  if type(value) == 'number' and value == value and value > -math.huge and value < math.huge then
    return value
  end
end

local function time_from(value)
  local number = finite(value)
  return number and number >= 0 and number <= LATEST and number or nil
end

local function count_from(value)
  return math.floor(math.min(math.max(finite(value) or 0, 0), COUNT_MAX))
end

local function level_from(value)
  if type(value) == 'string' and string.find(value, '^%d+$') then
    value = tonumber(value)
  end
  return math.floor(math.min(math.max(finite(value) or 0, 0), 9))
end

-- Unix seconds of an ISO 8601 time, as Celery writes a message's eta; nil for anything else.
-- Source of the count of days: Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil.
local function seconds_of(text)
  if type(text) ~= 'string' then
    return nil
  end
  local year, month, day, hour, minute, second, rest =
    string.match(text, '^(%d%d%d%d)-(%d%d)-(%d%d)[T ](%d%d):(%d%d):(%d%d%.?%d*)(.*)$')
  if not year then
    return nil
  end
  local sign, hours, minutes = string.match(rest, '^([+-])(%d%d):?(%d%d)$')
  if not sign and rest ~= '' and rest ~= 'Z' then
    return nil
  end
  local y, m = tonumber(year), tonumber(month)
  if m < 1 or m > 12 or tonumber(day) < 1 or tonumber(day) > 31 or tonumber(hour) > 23 then
    return nil
  end
  if m <= 2 then
    y = y - 1
  end
  local era = math.floor(y / 400)
  local of_era = y - era * 400
  local day_of_year = math.floor((153 * ((m + 9) % 12) + 2) / 5) + tonumber(day) - 1
  local days = era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + day_of_year - 719468
  local offset = sign and (tonumber(hours) * 3600 + tonumber(minutes) * 60) * (sign == '-' and -1 or 1) or 0
  return time_from(days * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second) - offset)
end

-- A message without its body, which is most of it and says nothing about its place.
local function without_body(message)
  local _, start = string.find(message, '"body"%s*:%s*"')
  if not start then
    return message
  end
  local stop = start
  repeat
    stop = string.find(message, '"', stop + 1, true)
    if not stop then
      return message
    end
    local backslashes = string.match(string.sub(message, math.max(start + 1, stop - 64), stop - 1), '(\\*)$')
  until #backslashes % 2 == 0
  return string.sub(message, 1, start) .. string.sub(message, stop)
end

-- The headers and properties of a message; nil and a reason for what no worker could read.
local function read(message, most_bytes)
  if #message > most_bytes then
    return nil, TOO_LARGE
  end
  local short = without_body(message)
  if #short > HEADERS_MAX_BYTES then
    return nil, 'headers too large'
  end
  local ok, found = pcall(cjson.decode, short)
  if not ok or type(found) ~= 'table' or type(found.headers) ~= 'table' or type(found.properties) ~= 'table' then
    return nil, 'no message'
  end
  return found
end

-- admission: queue, lists, key (as `enter` has it), records (their prefix), refused (a list), ops (text: each
--            task's name, '=', its operation and a newline), most_bytes, now, k
local function admit_message(admission, message, list_level)
  local found, reason = read(message, admission.most_bytes)
  if not found then
    local about = { queue = admission.queue, reason = reason, size = #message,
      number = redis.call('INCR', admission.key.sequence) }
    if reason == TOO_LARGE then
      -- Its job can be named by these.
      about.head = printable(string.sub(message, 1, HEAD_BYTES))
      about.tail = printable(string.sub(message, -TAIL_BYTES))
    end
    redis.call('LPUSH', admission.refused, cjson.encode(about) .. '\n' .. string.sub(message, 1, KEPT_BYTES))
    return
  end
  local headers, properties = found.headers, found.properties
  local task = type(headers.task) == 'string' and headers.task or ''
  local op = string.match(admission.ops, '\n' .. string.gsub(task, '%p', '%%%0') .. '=([^\n]*)\n') or ''
  local id = headers.id
  if type(id) ~= 'string' or id == '' or task == '' then
    -- In the older protocol the body has both. A worker finds out, or refuses it.
    id, op = 'message-' .. redis.call('INCR', admission.key.sequence), ''
  end
  local key = admission.key
  key.record = admission.records .. id
  local level = properties.priority
  enter(key, {
    id = id, message = message, op = op, queue = admission.queue,
    level = level_from(level == nil and list_level or level),
    items = count_from(headers.items), enqueued_at = time_from(headers.enqueued_at),
    due_at = seconds_of(headers.eta), deadline_at = time_from(headers.deadline_at),
    retries = count_from(headers.retries), chord = type(headers.group) == 'string',
  }, admission.now, admission.k)
end

-- Admit messages of kombu's lists, the most urgent first; returns false if more are left than `most`.
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

-- Bring scheduled jobs whose time has come into the order; returns false if more are due than `most`.
local function admit_due(admission, most)
  local key = admission.key
  local due = redis.call('ZRANGEBYSCORE', key.scheduled, '-inf', admission.now, 'LIMIT', 0, most)
  for _, place in ipairs(due) do
    redis.call('ZREM', key.scheduled, place)
    local found = redis.call('HMGET', admission.records .. id_of(place), 'since', 'level')
    if found[2] then
      redis.call('ZADD', key.order, virtual_time(tonumber(found[1]), tonumber(found[2]), admission.k), place)
    end
  end
  if #due > 0 then
    leave_token(key.tokens)
  end
  return #due < most
end
