-- The clocks and rates of tenants: what they are charged for the jobs that run. A part of `tenants_of`.
local PACE_MAX, LEAST_REACTION_S = 16, 0.2
local TAKES, LATE, AHEAD_PACE, STRENGTH, LEARNING, NEWEST = 30, 2, 0.25, 0.15, 0.003, 0.1
local RAN_MAX_S = 3600
-- A clock is forgotten when it is this far behind, even if a served tenant's may stay further behind.
local BEHIND_MAX_S = 3600

-- The team and the tenant of a job, in the order in which they are charged.
local function path_of(name)
  local team = about(name).team
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
  if is_ahead then
    learned = math.max(math.min(1, learned), learned * math.exp(-LEARNING))
    redis.call('HSET', pace, 'running', running, 'learned', learned)
    return AHEAD_PACE * math.min(1, learned) / running, earliest, tonumber(weights)
  end
  if clock <= since then
    redis.call('HSET', pace, 'running', running, 'latest', latest, 'head_start_s', urgent_s)
    return learned / running, earliest, tonumber(weights)
  end
  local lag = math.max(-1, math.min(1, (now - latest) / within_s))
  learned = math.max(1 / PACE_MAX, math.min(PACE_MAX, learned * math.exp(LEARNING * lag)))
  redis.call('HSET', pace, 'running', running, 'latest', latest, 'head_start_s', urgent_s,
    'learned', learned)
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

-- Charge a job that is being taken to its tenant, and to its team. It waits no longer, and the next candidates are
-- chosen.
--
-- place: of the job; since, op, items: of its record, as text; running: the number of jobs that run, with it
-- Returns the field `charged` for its record.
local function charge(name, place, since, op, items, running)
  local call = redis.call
  since = number_of(since)
  local cost_s = cost_of(order, op, number_of(items))
  local charged = { exact(cost_s) }
  local names, read, per_s, earliest, weights = path_of(name), nil, nil, nil, nil
  for number, each in ipairs(names) do
    read = read_state(each)
    local weight, _, rate = limits_of(each)
    local clock, share = number_of(read[1]), tonumber(read[3]) or weight
    if number == 1 then
      -- The score of a candidate is the virtual time of its job, unless it is that of a team.
      local virtual = #names == 1 and read[5] or call('ZSCORE', held, place)
      per_s, earliest, weights = charge_of(clock, since, number_of(virtual) - since, cost_s, running)
    else
      weights = tonumber(call('HGET', about(names[1]).state, 'weights') or '')
    end
    per_s = per_s * math.max(1, (weights or share) / share)
    clock = exact(math.max(clock, since, earliest) + cost_s * per_s)
    local behind = math.min(BEHIND_MAX_S, now - earliest)
    call('HSET', about(each).state, 'clock', clock, 'behind', behind)
    read[1], read[4] = clock, behind
    if rate > 0 then
      count_start(each, rate)
    end
    call('SADD', running_of(each), id_of(place))
    charged[#charged + 1], charged[#charged + 2] = exact(per_s), clock
  end
  unhold(name, place)
  settle(name, read)
  return table.concat(charged, ' ')
end

-- A job of a tenant no longer runs: it has ended, or will wait again. Correct the clocks of its tenant and its team:
-- see `correction`.
--
-- orders: of all queues. The next look at the paused tenants of the others finds that they may have another job.
-- charged, started_at: of its record. is_lost: its worker has died. Nobody knows when, so the charge does not grow.
local function release(name, id, orders, charged, started_at, is_lost)
  local call, ran_s = redis.call, now - number_of(started_at)
  local numbers = string.gmatch(charged or '', '%S+')
  local cost_s = tonumber(numbers() or '')
  local most_s = cost_s and (is_lost and cost_s or math.max(RAN_MAX_S, cost_s))
  local has_candidate = false
  for _, each in ipairs(path_of(name)) do
    local state = about(each).state
    local clock, candidate, score, since = unpack(call('HMGET', state, 'clock', 'candidate', 'score', 'since'))
    clock, score, since = tonumber(clock or ''), tonumber(score or ''), tonumber(since or '')
    local per_s, clock_then = tonumber(numbers() or ''), tonumber(numbers() or '')
    has_candidate = candidate and score and since
    if cost_s and per_s and clock_then then
      -- A clock that was forgotten while the job ran lay in the past.
      local corrected = (clock or clock_then) + per_s * (math.max(0, math.min(most_s, ran_s)) - cost_s)
      if clock or corrected > now then
        call('HSET', state, 'clock', corrected)
        if has_candidate then
          call('ZADD', candidates, delayed(score, score, since, corrected), candidate)
        end
      end
    end
    call('SREM', running_of(each), id)
    local _, most = limits_of(each)
    for _, other in ipairs(most > 0 and orders or {}) do
      if other ~= order then
        call('ZADD', paused_of(other), 'XX', 0, each)
      end
    end
  end
  -- With the same candidate only its delay has changed. That of a team may be another now.
  if not has_candidate then
    settle(name)
  end
end
