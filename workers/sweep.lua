-- Move waiting jobs of one queue to the levels that they have climbed to.
--
-- KEYS[1..10]  the queue's lists, levels 0 to 9; the right end is the head, served first
-- ARGV[1]      now, Unix time in seconds
-- ARGV[2]      the most jobs to move in this call
-- ARGV[3..12]  each level's head start in seconds: level / k
-- Returns      {moved, 1 if there may be more to move else 0}
--
-- Only heads are looked at: each list is in the order of virtual time (enqueued_at + head start)
-- by itself, so where the head has not climbed, nothing behind it has. Idempotent; two sweeps at
-- once do no harm.

local now = tonumber(ARGV[1])
local budget = tonumber(ARGV[2])
local head_start = {}
for level = 0, 9 do
  head_start[level] = tonumber(ARGV[3 + level])
end

-- How far from the head a job that came back is put in its place. It was a head when it was taken,
-- so few can be before it.
local NEAR = 64

-- Fields are found by their names, as decoding a whole message would cost more than moving it. The
-- body comes first and is base64, and a quote within a JSON string is escaped: neither can be taken
-- for a field. `properties` comes last.
local function headers_of(message)
  return string.sub(message, string.find(message, '"headers":', 1, true) or 1)
end

local function enqueued_at(headers)
  return tonumber(string.match(headers, '"enqueued_at": ?([%d.eE+-]+)'))
end

local function virtual_time(headers)
  local given = tonumber(string.match(headers, '.*"priority": ?(%d+)')) or 0
  return (enqueued_at(headers) or now) + head_start[math.min(given, 9)]
end

local function came_back(headers)
  return string.find(headers, '"redelivered": true', 1, true)
    or string.find(headers, '"retries": [1-9]')
end

-- Stamp the head of a list with the present: a foreign client's message ages from now on, and so
-- does one from the future, whose client's clock is wrong.
local function stamp(list)
  local message = redis.call('LINDEX', list, -1)
  local field = string.format('"enqueued_at": %.6f', now)
  local fixed, done = string.gsub(message, '"enqueued_at": ?[%d.eE+-]+', field, 1)
  if done == 0 then
    fixed, done = string.gsub(message, '"headers": ?{"', '"headers": {' .. field .. ', "', 1)
  end
  if done == 1 then
    redis.call('LSET', list, -1, fixed)
  end
end

-- Put a job that came back before the first job that is behind it.
local function insert(from, to, v)
  local message = redis.call('RPOP', from)
  local before = {}
  for _ = 1, NEAR do
    local head = redis.call('LINDEX', to, -1)
    if not head or virtual_time(headers_of(head)) > v then
      break
    end
    before[#before + 1] = redis.call('RPOP', to)
  end
  redis.call('RPUSH', to, message)
  for i = #before, 1, -1 do
    redis.call('RPUSH', to, before[i])
  end
end

-- The level that a job has climbed to: the first whose newcomers it is not behind.
local function level_at(v)
  local level = 0
  while level < 9 and v > now + head_start[level] do
    level = level + 1
  end
  return level
end

local moved = 0
for level = 1, 9 do
  local from = KEYS[level + 1]
  while true do
    local head = redis.call('LINDEX', from, -1)
    if not head then
      break
    end
    local headers = headers_of(head)
    local at = enqueued_at(headers)
    if not at or at > now then
      stamp(from)
      break
    end
    local v = virtual_time(headers)
    local target = level_at(v)
    if target >= level then
      break
    end
    if moved >= budget then
      return { moved, 1 }
    end
    if came_back(headers) then
      insert(from, KEYS[target + 1], v)
    else
      redis.call('LMOVE', from, KEYS[target + 1], 'RIGHT', 'LEFT')
    end
    moved = moved + 1
  end
end
return { moved, 0 }
