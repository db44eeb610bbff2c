-- The clocks and rates of tenants: what they are charged for the jobs that run. A part of `tenants_of`.
local PACE_MAX, LEAST_REACTION_S = 16, 0.2
local TAKES, LATE, AHEAD_PACE, STRENGTH, LEARNING, NEWEST = 30, 2, 0.25, 0.15, 0.003, 0.1
local RAN_MAX_S = 3600
-- A clock is forgotten when it is this far behind, even if a served tenant's may stay further behind.
local BEHIND_MAX_S = 3600

-- The team and the tenant of a job, in the order in which they are charged.
local function path_of(name)
  local team = team_of(name)
  return team and { team, name } or { name }
end

-- How clocks advance for a job, the time that no clock stays behind, and the sum of the weights: see `Pace.charge`.
local function charge_of(clock, since, head_start_s, cost_s, running)
  local latest, urgent_s, learned, average, weights =
    unpack(redis.call('HMGET', pace, 'latest', 'head_start_s', 'learned', 'running', 'weights'))
  latest, urgent_s, learned, average = number_of(latest), number_of(urgent_s), tonumber(learned) or 1, tonumber(average) or 0
  running = average > 0 and average + NEWEST * (running - average) or running
  local within_s = math.max(LEAST_REACTION_S, TAKES * cost_s / running)
  local start = math.max(clock, since)
  head_start_s = math.max(0, head_start_s)
  local is_ahead = start - now > within_s
  if not is_ahead and start >= latest then
    latest, urgent_s = start, head_start_s
  end
  local earliest = now - within_s
  if now - latest <= LATE * within_s then
    earliest = earliest - math.max(0, head_start_s - urgent_s)
  end
  if is_ahead or clock <= since then
    redis.call('HSET', pace, 'running', exact(running), 'latest', exact(latest), 'head_start_s', exact(urgent_s))
    return (is_ahead and learned * AHEAD_PACE or learned) / running, earliest, tonumber(weights)
  end
  local lag = math.max(-1, math.min(1, (now - latest) / within_s))
  learned = math.max(1 / PACE_MAX, math.min(PACE_MAX, learned * math.exp(LEARNING * lag)))
  redis.call('HSET', pace, 'running', exact(running), 'latest', exact(latest), 'head_start_s', exact(urgent_s),
    'learned', exact(learned))
  return learned * math.exp(STRENGTH * lag) / running, earliest, tonumber(weights)
end

-- Allow no job of a tenant before a time.
local function wait_until(name, next_at)
  redis.call('SET', next_of(name), exact(next_at), 'PX', math.ceil(1000 * (next_at - now)) + 1)
end

-- Count the start of a job of a tenant with a rate.
local function count_start(name, rate)
  wait_until(name, math.max(number_of(redis.call('GET', next_of(name))), now) + 1 / rate)
end

-- Keep to a rate that was set now. What the one before has allowed next may be hours away.
local function limit(name)
  local _, _, rate = limits_of(name)
  if rate > 0 and number_of(redis.call('GET', next_of(name))) > now + 1 / rate then
    wait_until(name, now + 1 / rate)
  end
end

-- Charge a job that was taken to its tenant, and to its team.
--
-- virtual: its virtual time; running: the number of jobs that run
local function charge(name, id, virtual, running)
  local call = redis.call
  local since, op, items = unpack(call('HMGET', records .. id, 'since', 'op', 'items'))
  since = number_of(since)
  local cost_s = cost_of(order, op, number_of(items))
  local charged = { exact(cost_s) }
  local names, per_s, earliest, weights = path_of(name), nil, nil, nil
  for number, each in ipairs(names) do
    local state = state_of(each)
    local clock, share = unpack(call('HMGET', state, 'clock', 'weight'))
    clock, share = number_of(clock), tonumber(share) or limits_of(each)
    local _, _, rate = limits_of(each)
    if number == 1 then
      per_s, earliest, weights = charge_of(clock, since, number_of(virtual) - since, cost_s, running)
    else
      weights = tonumber(call('HGET', state_of(names[1]), 'weights') or '')
    end
    per_s = per_s * math.max(1, (weights or share) / share)
    clock = exact(math.max(clock, since, earliest) + cost_s * per_s)
    call('HSET', state, 'clock', clock, 'behind', exact(math.min(BEHIND_MAX_S, now - earliest)))
    if rate > 0 then
      count_start(each, rate)
    end
    call('SADD', running_of(each), id)
    charged[#charged + 1], charged[#charged + 2] = exact(per_s), clock
  end
  call('HSET', records .. id, 'charged', table.concat(charged, ' '))
end

-- Correct the clocks of a tenant and its team when a job no longer runs: see `correction`.
--
-- charged: of its record; ran_s: how long it ran. is_lost: its worker has died. Nobody knows when, so the charge
-- does not grow.
local function correct(name, charged, ran_s, is_lost)
  local numbers = string.gmatch(charged, '%S+')
  local cost_s = tonumber(numbers() or '')
  for _, each in ipairs(path_of(name)) do
    local per_s, clock_then = tonumber(numbers() or ''), tonumber(numbers() or '')
    if not (cost_s and per_s and clock_then) then
      return
    end
    local most_s = is_lost and cost_s or math.max(RAN_MAX_S, cost_s)
    local state = state_of(each)
    local clock = tonumber(redis.call('HGET', state, 'clock') or '')
    -- A clock that was forgotten while the job ran lay in the past.
    local corrected = (clock or clock_then) + per_s * (math.max(0, math.min(most_s, ran_s)) - cost_s)
    if clock or corrected > now then
      redis.call('HSET', state, 'clock', exact(corrected))
    end
  end
end

-- A job of a tenant no longer runs: it has ended, or waits again. Call `settle` or `hold` after it.
--
-- orders: of all queues. The next look at the paused tenants of the others finds that they may have another job.
-- charged, started_at: of its record, with which `correct` corrects the clocks
local function release(name, id, orders, charged, started_at, is_lost)
  local ran_s = now - number_of(started_at)
  if charged then
    correct(name, charged, ran_s, is_lost)
  end
  for _, each in ipairs(path_of(name)) do
    redis.call('SREM', running_of(each), id)
    local _, most = limits_of(each)
    for _, other in ipairs(most > 0 and orders or {}) do
      if other ~= order then
        redis.call('ZADD', paused_of(other), 'XX', 0, each)
      end
    end
  end
end
