-- Put the jobs that came since the last sweep into their places, and give times to those without.
--
-- After sweep_order.lua, which names KEYS[1..10] and ARGV[1..12].
-- ARGV[13]  the time of the last sweep
-- ARGV[14]  the level to begin with, 0 to 9
-- ARGV[15]  the most jobs to look at on a level
-- Returns   {the level to go on with, 10 when all is done; 1 if a job may have climbed else 0}

local since = tonumber(ARGV[13])
local first_level = tonumber(ARGV[14])
local most = tonumber(ARGV[15])
-- Whether the heads, which are read here anyway, leave anything to do for the climbing.
local climbs = 0

-- The jobs at a head that came back, and whether they, and the one behind them, are in order.
local function returned_to(list, level)
  local returned, in_order, last_v = {}, true, -math.huge
  for index = -1, -NEAR_HEAD, -1 do
    local message = call('LINDEX', list, index)
    local v = message and virtual_time(message)
    if message and level > 0 and not (v and v > now + head_start[level - 1]) then
      climbs = 1
    end
    if not v then
      break
    end
    in_order, last_v = in_order and last_v <= v, v
    if not came_back(message) or not has_time(#message) then
      break
    end
    returned[#returned + 1] = { message = message, v = v, index = index }
  end
  return returned, in_order
end

-- Order the jobs that came back to a head: they lie there as they came. Those that belong behind
-- others go there: one, and as many as there is time for. Returns whether all is done.
local function settle_head(list, level)
  local returned, in_order = returned_to(list, level)
  if in_order then
    return true
  end
  table.sort(returned, function(a, b)
    return a.v < b.v or (a.v == b.v and a.index > b.index)
  end)
  call('LTRIM', list, 0, -1 - #returned)
  local head = call('LINDEX', list, -1)
  local head_v = head and virtual_time(head) or math.huge
  local placed, done = false, true
  for i = #returned, 1, -1 do
    local each = returned[i]
    if each.v <= head_v or (placed and not has_time(#each.message)) then
      call('RPUSH', list, each.message)
      done = done and each.v <= head_v
    else
      place(list, each.message, each.v)
      placed = true
    end
  end
  return done
end

-- What came to a tail, the newest first; those without a time are given one.
local function look_at_tail(list, level)
  local seen_v = since - SKEW + head_start[level]
  local behind_v = math.huge
  local messages = {}
  while #messages < most do
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
    behind_v = math.min(v, behind_v)
    messages[#messages + 1] = { message = message, v = v }
    if not has_time(#message) or (v <= seen_v and not inherits(message)) then
      break
    end
  end
  return messages
end

-- Put what keeps an earlier time ahead of those that came before it and are after it: one of them,
-- and as many as there is time for. Returns whether all is done.
local function settle_tail(list, level)
  local messages = look_at_tail(list, level)
  local early, kept, latest_v = {}, {}, -math.huge
  for i = #messages, 1, -1 do
    local each = messages[i]
    if each.v < latest_v and inherits(each.message) then
      each.place = i
      early[#early + 1] = each
    else
      kept[#kept + 1] = each
    end
    latest_v = math.max(latest_v, each.v)
  end
  climbs = math.max(climbs, math.min(#early, 1))
  -- The latest first: each then goes next to what has been kept, ahead of those placed before it.
  table.sort(early, function(a, b)
    return a.v > b.v or (a.v == b.v and a.place < b.place)
  end)
  local looked = #messages
  for number, each in ipairs(early) do
    if number > 1 and not has_time(#each.message) then
      return false
    end
    call('LREM', list, 1, each.message)
    local last = #kept
    while last > 0 and kept[last].v > each.v do
      last = last - 1
    end
    if last > 0 then
      call('LINSERT', list, 'BEFORE', kept[last].message, each.message)
    else
      looked = looked - 1
      place(list, each.message, each.v, looked)
    end
  end
  return true
end

for level = first_level, 9 do
  local list = KEYS[level + 1]
  if not (settle_head(list, level) and settle_tail(list, level)) then
    return { level, climbs }
  end
  if not has_time(0) then
    return { level + 1, climbs }
  end
end
return { 10, climbs }
