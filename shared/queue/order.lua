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

-- Wake the worker that has been idle for the longest time. Each blocks on a list of its own: Valkey, and Redis
-- since 7.2, look at every client that blocks on a list when something comes to it.
--
-- A living worker says every few seconds that it is idle still. If one has died since, another one's heartbeat
-- finds out within a second that a job waits.
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
