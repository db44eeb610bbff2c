-- The order of waiting jobs: by virtual time, and first come, first served among equal ones.
--
-- A queue's order is a sorted set with virtual times as scores. Its members are places: a 14-digit number that
-- counts up, and the job's id. Redis sorts equal scores by member, so the smaller number goes first.

-- The head start of one level in seconds if levels are strict (k is 0), and the largest for any k. With nine of
-- them added, a Unix time is still precise to 16 microseconds as a double.
local STRICT_S = 1e10
local SEQUENCE_DIGITS = 14

-- A number in a record, or 0 for anything else, such as NaN, which sorted sets refuse.
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

-- The virtual time of a job that should start by some time ('' or nil for none), so that it is done when it is due.
local function time_of_place(since, level, k, start_by)
  local virtual = virtual_time(since, level, k)
  start_by = tonumber(start_by or '')
  return start_by and start_by < virtual and start_by or virtual
end

local function place_of(number, id)
  return string.format('%0' .. SEQUENCE_DIGITS .. 'd', number) .. id
end

local function id_of(place)
  return string.sub(place, SEQUENCE_DIGITS + 1)
end

-- Wake the worker that has been idle for the longest time. Each worker blocks on its own list, because Valkey, and
-- Redis from 7.2 on, look at all clients that block on a list when it gets an element.
--
-- An idle worker repeats every few seconds that it is idle. If the woken worker has died, the heartbeat of another
-- one finds the waiting job within a second.
local IDLE_S, WAKE_TTL_S = 6, 10

local function wake_one(idle)
  local call = redis.call
  local wake, since = unpack(call('ZRANGE', idle, 0, 0, 'WITHSCORES'))
  if not wake then
    return
  end
  local earliest = call('TIME')[1] - IDLE_S
  if tonumber(since) < earliest then
    wake = call('ZRANGEBYSCORE', idle, earliest, '+inf', 'LIMIT', 0, 1)[1]
  end
  if wake then
    call('ZREM', idle, wake)
    call('LPUSH', wake, 1)
    call('EXPIRE', wake, WAKE_TTL_S)
  end
end

local function is_open(state)
  return state == 'waiting' or state == 'running'
end
