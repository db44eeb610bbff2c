-- What both commands of a sweep begin with: messages read, their order, their places.
--
-- KEYS[1..10]  the queue's lists, levels 0 to 9; the right end is the head, served first
-- ARGV[1]      now, Unix time in seconds
-- ARGV[2]      seconds of Redis that a call may take; what it has begun is done
-- ARGV[3..12]  each level's head start in seconds: level / k
-- ARGV[#ARGV]  the most bytes of a message: a larger one is replaced, where it lies, by a stand-in
--
-- Each list is kept in the order of virtual time (enqueued_at + head start), so where its head has
-- not climbed, nothing behind it has. Idempotent; two sweeps at once do no harm.

local call = redis.call
local find, match = string.find, string.match

local most_bytes = tonumber(ARGV[#ARGV])
-- After shrink.lua.
local function look(list, index)
  local message = call('LINDEX', list, index)
  if message and #message > most_bytes then
    message = shrunk(message, most_bytes)
    call('LSET', list, index, message)
  end
  return message
end

local now = tonumber(ARGV[1])
local head_start = {}
for level = 0, 9 do
  head_start[level] = tonumber(ARGV[3 + level])
end

-- Seconds by which the clocks of senders may differ from Redis's.
local SKEW = 1
-- How far from the head, and from the tail, a job is put in its exact place. Messages near the head
-- are taken off and put back; those at the tail are compared with one (LREM, LINSERT).
local NEAR_HEAD = 64
local NEAR_HEAD_BYTES = 256 * 1024
local NEAR_TAIL_BYTES = 4 * 1024 * 1024
-- The most retries and next steps in a row that are stepped over in looking for a place.
local STEPS = 8
-- Bytes of messages after which the clock is read; what any message counts for at least.
local UNTIMED = 16384
local ANY_MESSAGE = 512

-- TIME stands still in the scripts of newer servers, which have os.clock in its stead.
local os_of_server = rawget(_G, 'os')
local function clock()
  if os_of_server then
    return os_of_server.clock()
  end
  local time = call('TIME')
  return time[1] + time[2] / 1e6
end
local deadline
local untimed, in_time

-- Let the call take some share of its time, from now on.
local function take_time(share)
  deadline, untimed, in_time = clock() + share * tonumber(ARGV[2]), 0, true
end
take_time(1)

-- Whether the call may go on after a message of so many bytes. They are what it costs: since
-- Redis 7.0 each string that Lua sees is hashed as a whole, at a nanosecond a byte.
local function has_time(bytes)
  untimed = untimed + ANY_MESSAGE + bytes
  if in_time and untimed > UNTIMED then
    untimed, in_time = 0, clock() < deadline
  end
  return in_time
end

-- Fields are found by their names, as decoding a whole message would cost more than moving it. The
-- body is base64, and a quote within a JSON string is escaped: neither can be taken for a field.
local ENQUEUED_AT = '"enqueued_at"%s*:%s*([%d.eE+-]+)'
local PRIORITY = '^.*"priority"%s*:%s*"?(-?%d+)' -- anchored: else a message without one costs n^2
local PROPERTIES_MAX = 512

-- The level that the producer gave; without one it is 0, as kombu has it.
local function given_level(message)
  local level = match(message, PRIORITY, -PROPERTIES_MAX) or match(message, PRIORITY) or 0
  return math.max(math.min(tonumber(level), 9), 0)
end

-- The virtual time of a message; nil where it has no time, or one that is yet to come.
local function virtual_time(message)
  local field = find(message, '"enqueued_at"', 1, true)
  local at = field and tonumber(match(message, ENQUEUED_AT, field))
  if not at or at < 0 or at > now + SKEW then
    return nil
  end
  return at + head_start[given_level(message)]
end

local function has(message, field, pattern)
  local start = find(message, field, 1, true)
  return start and match(message, field .. pattern, start)
end

local function came_back(message)
  return has(message, '"redelivered"', '%s*:%s*true') or has(message, '"retries"', '%s*:%s*[1-9]')
end

-- Whether a message keeps the time of an earlier one: a retry, and what a job has sent.
local function inherits(message)
  return has(message, '"parent_id"', '%s*:%s*"') or came_back(message)
end

-- Give a message a time: a foreign client's has none, one from a clock that is wrong a false one.
-- Returns what then lies there.
local function stamp(list, index, message, at)
  local field = string.format('"enqueued_at": %.17g', at)
  local fixed, done = string.gsub(message, ENQUEUED_AT, field, 1)
  if done == 0 then
    fixed, done = string.gsub(message, '"headers"%s*:%s*{%s*}', '"headers": {' .. field .. '}', 1)
  end
  if done == 0 then
    fixed, done = string.gsub(message, '"headers"%s*:%s*{', '"headers": {' .. field .. ', ', 1)
  end
  if done == 0 then
    return message
  end
  call('LSET', list, index, fixed)
  return fixed
end

-- Whether an index is too far from the tail for messages as large as that one.
local function is_far(index, message)
  return index * #message > NEAR_TAIL_BYTES
end

-- The first index from one on at which a test of an index holds, as it then does for all that
-- follow; nil where the test says besides that it looks too far.
local function first_index(from, test)
  local outside, inside, step = from - 1, from, 1
  local holds, too_far = test(inside)
  while not holds do
    if too_far then
      return nil
    end
    outside, inside, step = inside, inside + step, step * 2
    holds, too_far = test(inside)
  end
  while inside - outside > 1 do
    local middle = math.floor((outside + inside) / 2)
    if test(middle) then
      inside = middle
    else
      outside = middle
    end
  end
  return inside
end

-- The index from the tail of the first job that is not after virtual time v, of those from an index
-- on; nil: too far from it. Jobs that keep an earlier time may not be in their places yet, so it is
-- found by the others, and only then those next to it are looked at.
local function search_tail(list, v, from)
  local place
  local function is_before(index)
    for each = index, index + STEPS do
      local message = look(list, each)
      if not message then
        place = each
        return true
      end
      has_time(#message)
      if each == index + STEPS or not inherits(message) then
        local other = virtual_time(message)
        local found = other and other <= v
        place = found and each or place
        return found, is_far(each, message)
      end
    end
  end
  if not first_index(from, is_before) then
    return nil
  end
  while place > from do
    local behind = look(list, place - 1)
    local other = virtual_time(behind)
    if not inherits(behind) or not other or other > v then
      break
    end
    has_time(#behind)
    place = place - 1
  end
  return place
end

-- Put a message before the first job that is behind it, counted from the head.
local function insert_near_head(list, message, v)
  local ahead, bytes = {}, 0
  local behind
  while #ahead < NEAR_HEAD and bytes < NEAR_HEAD_BYTES and not behind do
    local head = call('RPOP', list)
    local other = head and virtual_time(head)
    if not head then
      break
    elseif other and other > v then
      behind = head
    else
      ahead[#ahead + 1] = head
      bytes = bytes + #head
    end
  end
  if behind then
    call('RPUSH', list, behind)
  end
  call('RPUSH', list, message)
  for i = #ahead, 1, -1 do
    call('RPUSH', list, ahead[i])
  end
end

-- Put a message that is in no list into its place: behind all that are not after it. Where that is
-- far from both ends, what has waited before goes near the head, and what only climbs to the tail.
-- It is known not to belong among the first `from` jobs at the tail, if that is given.
local function place(list, message, v, from)
  local head = look(list, -1)
  local first = head and virtual_time(head)
  if first and first > v then
    call('RPUSH', list, message)
    return
  end
  local index = search_tail(list, v, from or 0)
  if not index and inherits(message) then
    insert_near_head(list, message, v)
    return
  end
  local pivot = index and index > 0 and look(list, index)
  if pivot then
    call('LINSERT', list, 'BEFORE', pivot, message)
  else
    call('LPUSH', list, message)
  end
end
