-- The order of waiting jobs: by virtual time, and first come, first served for equal ones.
--
-- A queue's order is a sorted set. Its members are places: a number that counts up, in 14 digits, and the
-- job's id. Redis sorts equal scores by their members, so the number makes them first come, first served.

-- Seconds that a level is worth if levels are strict (k is 0), and the most for any k. Adding nine of them
-- to a Unix time leaves a double's precision at 16 microseconds.
local STRICT_S = 1e10
local SEQUENCE_DIGITS = 14

-- A number as a record has it; 0 for anything else, such as NaN, which no sorted set takes.
local function number_of(text)
  local number = tonumber(text or '')
  if number and number == number and number > -math.huge and number < math.huge then
    return number
  end
  return 0
end

local function virtual_time(since, level, k)
  if k <= 1 / STRICT_S then
    return since + level * STRICT_S
  end
  return since + level / k
end

local function place_of(number, id)
  return string.format('%0' .. SEQUENCE_DIGITS .. 'd', number) .. id
end

local function id_of(place)
  return string.sub(place, SEQUENCE_DIGITS + 1)
end

-- One token wakes one idle worker. One at a time is enough: the worker that it wakes leaves the next.
local function leave_token(tokens)
  if redis.call('LLEN', tokens) == 0 then
    redis.call('LPUSH', tokens, 1)
  end
end

local function is_open(state)
  return state == 'waiting' or state == 'running'
end
