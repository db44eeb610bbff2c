-- Move waiting jobs to the levels that they have climbed to.
--
-- After sweep_order.lua, which names KEYS[1..10] and ARGV[1..12].
-- ARGV[13]  the most jobs to move in this call
-- Returns   {1 if there may be more to move else 0, jobs that left level 1, ..., level 9}

local budget = tonumber(ARGV[13])
local answer = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
local moved = 0
local tail_v = {}

-- The level that a job has climbed to: the first whose newcomers it is not behind.
local function level_at(v)
  local level = 0
  while level < 9 and v > now + head_start[level] do
    level = level + 1
  end
  return level
end

-- The virtual time for a head that has none: that of the first behind it that has one, for it was
-- there before, or that of the job that was ahead of it. Garbage takes no stamp but moves by it.
-- Returns the head as it then is, and that time.
local function lend_time(list, head, ahead_v)
  local v
  for index = -2, -NEAR_HEAD, -1 do
    local behind = look(list, index)
    v = behind and virtual_time(behind)
    if v or not behind then
      break
    end
  end
  v = v or ahead_v
  local at = v and math.min(now, v - head_start[given_level(head)]) or now
  return stamp(list, -1, head, at), v
end

local function may_move(message)
  return moved < budget and (has_time(#message) or moved == 0)
end

-- Move a head that belongs behind the tail of its target, and those behind it for as long as they
-- belong there too. Each of them is seen as it is moved, to hand it to Lua but once; the first that
-- belongs elsewhere is put back and returned, with its virtual time.
local function move_run(level, target, message, v)
  local from, to = KEYS[level + 1], KEYS[target + 1]
  local bound = now + head_start[target]
  call('LMOVE', from, to, 'RIGHT', 'LEFT')
  repeat
    tail_v[target] = v
    moved = moved + 1
    answer[level + 1] = answer[level + 1] + 1
    if not may_move(message) then
      return nil
    end
    message = call('LMOVE', from, to, 'RIGHT', 'LEFT')
    v = message and virtual_time(message)
  until not v or v < tail_v[target] or v > bound
  if message then
    call('LMOVE', to, from, 'LEFT', 'RIGHT')
  end
  return message, v
end

local function climb_from(level)
  local from = KEYS[level + 1]
  local ahead_v
  local head = look(from, -1)
  local v = head and virtual_time(head)
  while head do
    if not v then
      head, v = lend_time(from, head, ahead_v)
    end
    local target = v and level_at(v)
    if not target or target >= level then
      return true
    end
    if not may_move(head) then
      return false
    end
    local to = KEYS[target + 1]
    if not tail_v[target] then
      local tail = look(to, 0)
      tail_v[target] = tail and virtual_time(tail) or -math.huge
    end
    if tail_v[target] <= v then
      head, v = move_run(level, target, head, v)
      ahead_v = tail_v[target]
    else
      call('LTRIM', from, 0, -2)
      place(to, head, v)
      moved = moved + 1
      answer[level + 1] = answer[level + 1] + 1
      ahead_v = v
      head = nil
    end
    if not head then
      head = look(from, -1)
      v = head and virtual_time(head)
    end
  end
  return true
end

for level = 1, 9 do
  if not climb_from(level) then
    answer[1] = 1
    break
  end
end
return answer
