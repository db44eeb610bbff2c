-- End a job, once, as the arguments in ARGV say.
--@include count
--@include finish

-- The parts of an end, in the order in which ARGV has them. Pairs of a metric and its increment follow.
local PARTS = { 'id', 'state', 'items_failed', 'error', 'ttl_s', 'op', 'items', 'result', 'only_from', 'inputs',
  'chord', 'metric' }

local function may_end(key, ending)
  local state, started_at = unpack(redis.call('HMGET', key.record, 'state', 'started_at'))
  if state and state ~= 'waiting' and state ~= 'running' then
    count(key.counts, 'ended_before', 1, key.counts)
    return false
  end
  if ending.only_from == 'unstarted' then
    return state ~= 'running'
  end
  if ending.state == 'cancelled' and ending.only_from == 'waiting' and state == 'running' then
    redis.call('HSET', key.record, 'cancelled_at', ending.now)
    return false
  end
  -- A job that has started before its deadline does not expire while it waits for a retry.
  return ending.only_from == ''
    or (state == ending.only_from and not (ending.state == 'expired' and started_at))
end

-- key: as for `finish`, and counts (counters of rare events) and metrics
-- first, last: the range of the parts in ARGV
-- Returns true if the job was ended. Returns false if it has ended before, is in another state than `only_from`,
-- or is to expire but has started before its deadline. If a waiting job was to be cancelled, but runs by now, it
-- is asked to end.
local function end_job(key, now, reserved, first, last)
  local ending = { now = now, reserved = reserved }
  for index, part in ipairs(PARTS) do
    ending[part] = ARGV[first + index - 1]
  end
  ending.keeps_message = ending.chord == '1'
  local ends = may_end(key, ending)
  if ends then
    finish(key, ending)
    count(key.metrics, ending.metric, 1, key.counts)
  end
  for index = first + #PARTS, last, 2 do
    count(key.metrics, ARGV[index], ARGV[index + 1], key.counts)
  end
  return ends
end
