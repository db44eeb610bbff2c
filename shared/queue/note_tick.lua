-- Note one run of the beat task for a queue, and how many waiting jobs have climbed from each level to the next
-- since the one before.
--
-- Between times t0 and t1 a job climbs to level n if its virtual time is in (t0 + n/k, t1 + n/k]. Newcomers of
-- level n have virtual times in the same range, so the levels of a sample of the range, evenly spread, say
-- which part of it has climbed. A range that is no larger than the sample is counted exactly.
--
-- KEYS: the queue's order, the beat task's notes about the queue (a hash), k of each queue
-- ARGV: the queue, k if no other is in force, the prefix of records, now, jobs in a sample, seconds over which the
--       rate of climbs is a mean that forgets exponentially, calls of this run, seconds of the longest
-- Returns how many have climbed.
--@include order
local LAST_LEVEL = 9
local order, notes, ks = unpack(KEYS)
local queue, k, records, now, samples, over_s, calls, longest_call_s = unpack(ARGV)
local call = redis.call
-- An HDEL takes no memory, so a Redis that is full lets a script that starts with one go on.
call('HDEL', notes, '')
k, now, samples, over_s = tonumber(call('HGET', ks, queue) or k), tonumber(now), tonumber(samples), tonumber(over_s)
local before = tonumber(call('HGET', notes, 'last_run_at') or now)

local function score(number)
  return string.format('%.17g', number)
end

-- How many jobs of higher levels have come into the range of a level.
local function climbed_to(level)
  local low, high = score(virtual_time(before, level, k)), score(virtual_time(now, level, k))
  local count = call('ZCOUNT', order, '(' .. low, high)
  if count == 0 then
    return 0
  end
  local first, looked = call('ZCOUNT', order, '-inf', low), math.min(count, samples)
  local climbers = 0
  for number = 0, looked - 1 do
    local rank = first + math.floor(number * count / looked)
    local place = call('ZRANGE', order, rank, rank)[1]
    local given = place and tonumber(call('HGET', records .. id_of(place), 'level') or '')
    if given and given > level then
      climbers = climbers + 1
    end
  end
  return math.floor(count * climbers / looked + 0.5)
end

local passed_s = math.max(1e-3, now - before)
local is_empty = call('EXISTS', order) == 0
local fresh, moved, noted = 1 - math.exp(-passed_s / over_s), 0, { 'last_run_at', now, 'longest_call_s', longest_call_s }
for level = 0, LAST_LEVEL do
  local field = 'climbs_per_minute:' .. level
  local climbed = not is_empty and level > 0 and climbed_to(level - 1) or 0
  local rate = tonumber(call('HGET', notes, field) or 0)
  moved = moved + climbed
  noted[#noted + 1] = field
  noted[#noted + 1] = (1 - fresh) * rate + fresh * 60 * climbed / passed_s
end
call('HSET', notes, unpack(noted))
redis.pcall('HINCRBY', notes, 'moved', moved)
redis.pcall('HINCRBY', notes, 'calls', calls)
return moved
