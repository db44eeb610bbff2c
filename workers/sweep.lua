-- Move waiting jobs of one queue to the levels that they have climbed to.
--
-- KEYS[1..10]  the queue's lists, levels 0 to 9; the right end is the head, served first
-- ARGV[1]      now, Unix time in seconds
-- ARGV[2]      the most jobs to move in this call
-- ARGV[3]      the time of the last sweep
-- ARGV[4]      the most jobs to look at of those that came since; 0 to go on with a sweep
-- ARGV[5..14]  each level's head start in seconds: level / k
-- Returns      {moved, 1 if there may be more to move else 0}
--
-- Each list is kept in the order of virtual time (enqueued_at + head start), so where its head has
-- not climbed, nothing behind it has. Idempotent; two sweeps at once do no harm.

local call = redis.call
local find, match = string.find, string.match

local now = tonumber(ARGV[1])
local budget = tonumber(ARGV[2])
local since = tonumber(ARGV[3])
local looks = tonumber(ARGV[4])
local head_start = {}
for level = 0, 9 do
  head_start[level] = tonumber(ARGV[5 + level])
end

-- Seconds by which the clocks of senders may differ from Redis's.
local SKEW = 1
-- How far from the head, and from the tail, a job is put in its exact place.
local NEAR_HEAD = 64
local NEAR_TAIL = 1024
-- What a search for a place costs, in moves, and how far from the tail it costs one more.
local SEARCH = 4
local FAR = 64
-- Looks that each level has at least.
local LEAST_LOOKS = 12
-- Bytes of a message that cost one move, or one look, more.
local HEAVY = 4096

-- Fields are found by their names, as decoding a whole message would cost more than moving it. The
-- body is base64, and a quote within a JSON string is escaped: neither can be taken for a field.
local ENQUEUED_AT = '"enqueued_at"%s*:%s*([%d.eE+-]+)'
local PRIORITY = '.*"priority"%s*:%s*"?(%d+)'
local PROPERTIES_MAX = 512

-- The level that the producer gave; without one it is 0, as kombu has it.
local function given_level(message)
  local level = match(message, PRIORITY, -PROPERTIES_MAX) or match(message, PRIORITY) or 0
  return math.min(tonumber(level), 9)
end

-- The virtual time of a message; nil where it has no time, or one that is yet to come.
local function virtual_time(message)
  local field = find(message, '"enqueued_at"', 1, true)
  local at = field and tonumber(match(message, ENQUEUED_AT, field))
  if not at or at > now + SKEW then
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
local function stamp(list, index, message, at)
  local field = string.format('"enqueued_at": %.17g', at)
  local fixed, done = string.gsub(message, ENQUEUED_AT, field, 1)
  if done == 0 then
    fixed, done = string.gsub(message, '"headers"%s*:%s*{%s*}', '"headers": {' .. field .. '}', 1)
  end
  if done == 0 then
    fixed, done = string.gsub(message, '"headers"%s*:%s*{', '"headers": {' .. field .. ', ', 1)
  end
  if done == 1 then
    call('LSET', list, index, fixed)
  end
end

-- The virtual time for a head that has none: that of the first behind it that has one, for it was
-- there before, or that of the job that was ahead of it. Garbage takes no stamp but moves by it.
local function lend_time(list, head, ahead_v)
  local v
  for index = -2, -NEAR_HEAD, -1 do
    local behind = call('LINDEX', list, index)
    v = behind and virtual_time(behind)
    if v or not behind then
      break
    end
  end
  v = v or ahead_v
  stamp(list, -1, head, v and math.min(now, v - head_start[given_level(head)]) or now)
  return v
end

-- The index from the tail of the first job that is not after virtual time v; nil: too far from it.
local function search_tail(list, v)
  local function is_before(index)
    local message = call('LINDEX', list, index)
    local other = message and virtual_time(message)
    return not message or (other and other <= v)
  end
  local after, before = -1, 0
  while not is_before(before) do
    if before >= NEAR_TAIL then
      return nil
    end
    after, before = before, before * 2 + 1
  end
  while before - after > 1 do
    local middle = math.floor((after + before) / 2)
    if is_before(middle) then
      before = middle
    else
      after = middle
    end
  end
  return before
end

-- Put a message before the first job that is behind it, counted from the head.
local function insert_near_head(list, message, v)
  local ahead = {}
  while #ahead < NEAR_HEAD do
    local head = call('LINDEX', list, -1)
    local other = head and virtual_time(head)
    if not head or (other and other > v) then
      break
    end
    ahead[#ahead + 1] = call('RPOP', list)
  end
  call('RPUSH', list, message)
  for i = #ahead, 1, -1 do
    call('RPUSH', list, ahead[i])
  end
end

-- Put a message that is in no list into its place: behind all that are not after it. Where that is
-- far from both ends, what has waited before goes near the head, and what only climbs to the tail.
-- Returns what it cost, in moves.
local function place(list, message, v)
  local head = call('LINDEX', list, -1)
  local first = head and virtual_time(head)
  if first and first > v then
    call('RPUSH', list, message)
    return 1
  end
  local index = search_tail(list, v)
  if not index and inherits(message) then
    insert_near_head(list, message, v)
    return SEARCH * SEARCH
  end
  local pivot = index and index > 0 and call('LINDEX', list, index)
  if pivot then
    call('LINSERT', list, 'BEFORE', pivot, message)
  else
    call('LPUSH', list, message)
  end
  return SEARCH + math.floor((index or NEAR_TAIL) / FAR)
end

-- The level that a job has climbed to: the first whose newcomers it is not behind.
local function level_at(v)
  local level = 0
  while level < 9 and v > now + head_start[level] do
    level = level + 1
  end
  return level
end

-- Order the jobs that came back to a head: they lie there as they came.
local function settle_head(list)
  local count, last, in_order = 0, nil, true
  for index = -1, -NEAR_HEAD, -1 do
    local message = call('LINDEX', list, index)
    local v = message and virtual_time(message)
    if not v then
      break
    end
    in_order = in_order and (not last or last <= v)
    last = v
    if not came_back(message) then
      break
    end
    count = count + 1
  end
  if in_order then
    return 0
  end
  local returned = {}
  for i = 1, count do
    returned[i] = call('RPOP', list)
  end
  local cost = count
  for i = 1, count do
    cost = cost + place(list, returned[i], virtual_time(returned[i]))
  end
  return cost
end

-- Stamp what came to a tail without a time, and put into its place what keeps an earlier one.
-- Returns what it cost, in looks.
local function settle_tail(list, level, most)
  local seen_v = since - SKEW + head_start[level]
  local behind_v, in_order = math.huge, true
  local messages, looked = {}, 0
  while looked < most do
    local message = call('LINDEX', list, #messages)
    if not message then
      break
    end
    local v = virtual_time(message)
    if not v then
      local given = head_start[given_level(message)]
      v = math.min(now + given, behind_v)
      stamp(list, #messages, message, v - given)
    end
    in_order = in_order and v <= behind_v
    behind_v = math.min(v, behind_v)
    messages[#messages + 1] = message
    looked = looked + 1 + math.floor(#message / HEAVY)
    if v <= seen_v and not inherits(message) then
      break
    end
  end
  if in_order then
    return looked + 1
  end
  local early = {}
  for _, message in ipairs(messages) do
    local v = inherits(message) and virtual_time(message)
    if v then
      call('LREM', list, 1, message)
      early[#early + 1] = { message = message, v = v }
    end
  end
  for i = #early, 1, -1 do
    looked = looked + place(list, early[i].message, early[i].v)
  end
  return looked
end

local looked = 0
for level = 0, 9 do
  -- The most urgent come first; some looks are kept for each level after them.
  local share = looks - looked - (9 - level) * LEAST_LOOKS
  if share > 0 then
    looked = looked + settle_head(KEYS[level + 1]) + settle_tail(KEYS[level + 1], level, share)
  end
end

local work = 0
local moved = 0
local tail_v = {}
for level = 1, 9 do
  local from = KEYS[level + 1]
  local ahead_v
  while true do
    local head = call('LINDEX', from, -1)
    local v = head and (virtual_time(head) or lend_time(from, head, ahead_v))
    local target = v and level_at(v)
    if not target or target >= level then
      break
    end
    if work >= budget then
      return { moved, 1 }
    end
    local to = KEYS[target + 1]
    if not tail_v[target] then
      local tail = call('LINDEX', to, 0)
      tail_v[target] = tail and virtual_time(tail) or -math.huge
    end
    work = work + math.floor(#head / HEAVY)
    if tail_v[target] <= v then
      call('LMOVE', from, to, 'RIGHT', 'LEFT')
      tail_v[target] = v
      work = work + 1
    else
      work = work + place(to, call('RPOP', from), v)
    end
    ahead_v = v
    moved = moved + 1
  end
end
return { moved, 0 }
