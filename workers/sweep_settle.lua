-- Put the jobs that came since the last sweep into their places, and give times to those without.
--
-- After sweep_order.lua, which names KEYS[1..10] and ARGV[1..12].
-- ARGV[13]  the time of the last sweep
-- ARGV[14]  the level to begin with, 0 to 9
-- ARGV[15]  how far from its tail to begin
-- Returns   {the level to go on with, 10 when all is done; how far from its tail;
--            1 if a job may have climbed else 0}

local since = tonumber(ARGV[13])
local first_level = tonumber(ARGV[14])
local from = tonumber(ARGV[15])
-- Bytes that are read beyond a call's time, to end at a job that keeps no earlier time: it is after
-- all that is ahead of it, so whether those behind it are early shows within what was read.
local OVERTIME = 512 * 1024
-- As much for finding what is out of place as for putting it right.
take_time(0.5)
-- Whether the heads, which are read here anyway, leave anything to do for the climbing.
local climbs = 0

-- The jobs at a head that came back, and whether they, and the one behind them, are in order.
local function returned_to(list, level)
  local returned, in_order, last_v = {}, true, -math.huge
  for index = -1, -NEAR_HEAD, -1 do
    local message = look(list, index)
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
  local head = look(list, -1)
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

-- What came to a tail, the newest first, and whether that is all; those without a time are given
-- one. Two of them at least, as the first was the last of the call before.
local function look_at_tail(list, level)
  local seen_v = since - SKEW + head_start[level]
  -- Of those behind that waited here all their time: no job that is ahead of them came later.
  local behind_v, overtime = math.huge, 0
  local messages, all = {}, false
  repeat
    local index = from + #messages
    local message = look(list, index)
    if not message then
      return messages, true
    end
    local v, early = virtual_time(message), inherits(message)
    if v then
      all = v <= seen_v and not early
    else
      local given = head_start[given_level(message)]
      v = math.min(now + given, behind_v)
      message = stamp(list, index, message, v - given)
    end
    if not early then
      behind_v = math.min(v, behind_v)
    end
    local may_move = early and not is_far(index, message)
    messages[#messages + 1] = { message = message, v = v, may_move = may_move }
    if not has_time(#message) then
      overtime = overtime + ANY_MESSAGE + #message
    end
  until all or (overtime > 0 and #messages > 1 and (not early or overtime > OVERTIME))
  return messages, all
end

-- Put what keeps an earlier time ahead of those that came before it and are after it: one of them,
-- and as many as there is time for. Returns how far from the tail to go on; nil when all is done.
local function settle_tail(list, level)
  local messages, all = look_at_tail(list, level)
  local early, kept, latest_v = {}, {}, -math.huge
  for i = #messages, 1, -1 do
    local each = messages[i]
    if each.v < latest_v and each.may_move then
      each.place = i
      early[#early + 1] = each
    else
      kept[#kept + 1] = each
    end
    latest_v = math.max(latest_v, each.v)
  end
  local seen = from + #messages
  if #early > 0 then
    climbs = 1
    take_time(0.5)
  end
  -- The latest first: each then goes next to what has been kept, ahead of those placed before it.
  table.sort(early, function(a, b)
    return a.v > b.v or (a.v == b.v and a.place < b.place)
  end)
  for number, each in ipairs(early) do
    if number > 1 and not has_time(#each.message) then
      return from
    end
    local last = #kept
    while last > 0 and kept[last].v > each.v do
      last = last - 1
    end
    if call('LREM', list, 1, each.message) == 1 then
      if last == 0 then
        seen = seen - 1
        place(list, each.message, each.v, seen)
      elseif call('LINSERT', list, 'BEFORE', kept[last].message, each.message) == -1 then
        call('LPUSH', list, each.message)
      end
    end
  end
  in_time = in_time and #early == 0
  return not all and seen - 1 or nil
end

for level = first_level, 9 do
  local list = KEYS[level + 1]
  if from == 0 and not settle_head(list, level) then
    return { level, 0, climbs }
  end
  local more = settle_tail(list, level)
  if more then
    return { level, more, climbs }
  end
  from = 0
  if not has_time(0) then
    return { level + 1, 0, climbs }
  end
end
return { 10, 0, climbs }
