-- Note one run of the beat task for a queue, and how many waiting jobs have climbed to each level since the run
-- before.
--
-- Between the times t0 and t1 a job climbs to level n if its virtual time is in (t0 + n/k, t1 + n/k]. New jobs of
-- level n have virtual times in the same range. So the script reads the levels of an evenly spread sample of the
-- range, and scales up. A range that is no larger than the sample is counted exactly.
--
-- KEYS: the queue's order, the beat task's notes about the queue (a hash), k of each queue (a hash)
-- ARGV: the queue, its k if the hash has none, the prefix of records, now, the most jobs in a sample, the time
--       constant of the exponential moving average of climbs in seconds, the number of calls of this run, the
--       duration of the longest of them in seconds
-- Returns how many jobs have climbed.
--@include order
local LAST_LEVEL = 9
local order, notes, ks = unpack(KEYS)
local queue, k, records, now, samples, over_s, calls, longest_call_s = unpack(ARGV)
local call = redis.call
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
call('HDEL', notes, '')
k, now, samples, over_s = tonumber(call('HGET', ks, queue) or k), tonumber(now), tonumber(samples), tonumber(over_s)
local before = tonumber(call('HGET', notes, 'last_run_at') or now)

local function score(number)
  return string.format('%.17g', number)
end

-- How many jobs of less urgent levels have climbed to a level.
local function climbed_to(level, order)
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
local held = string.gsub(order, 'order:', 'held:', 1)
local is_empty = call('EXISTS', order, held) == 0
local fresh, moved = 1 - math.exp(-passed_s / over_s), 0
local noted = { 'last_run_at', now, 'longest_call_s', longest_call_s }
for level = 0, LAST_LEVEL do
  local field = 'climbs_per_minute:' .. level
  local climbed = not is_empty and level > 0 and climbed_to(level - 1, order) + climbed_to(level - 1, held) or 0
  local rate = tonumber(call('HGET', notes, field) or 0)
  moved = moved + climbed
  noted[#noted + 1] = field
  noted[#noted + 1] = (1 - fresh) * rate + fresh * 60 * climbed / passed_s
end
call('HSET', notes, unpack(noted))
redis.pcall('HINCRBY', notes, 'moved', moved)
redis.pcall('HINCRBY', notes, 'calls', calls)
return moved
