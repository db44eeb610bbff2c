-- Tenants: which of their jobs may go next. The law is that of shared/protocol/fair_share.py.
--@include costs
--
-- A tenant's jobs are not in the queue's order. They wait in the tenant's sorted set, by virtual time, and the
-- first of them is the tenant's candidate. The members of a team (`team/user`) wait in the same way below the
-- team: a member's candidate waits in the team's set, and the first of these is the team's candidate. The
-- candidates of all tenants and teams are in one sorted set beside the order, by delayed virtual time. The first
-- of these, or the first of the order, is the next job.
--
-- A tenant that has as many running jobs as it may have, or that must wait for its rate, has no candidate.
--
-- The keys follow from the key of the queue's order, `PREFIX:order:QUEUE`:
--   PREFIX:candidates:QUEUE        sorted set of places: the candidates of tenants and teams
--   PREFIX:held:QUEUE              sorted set of places: all waiting jobs of tenants, by virtual time
--   PREFIX:tenants:QUEUE           sorted set: tenants and teams with waiting jobs, by how many
--   PREFIX:paused-tenants:QUEUE    sorted set: tenants and teams without a candidate, by when to look again
--   PREFIX:pace:QUEUE              hash: the fields of `Pace`, and the sum of the weights
--   PREFIX:tenant-jobs:QUEUE:NAME  sorted set of places
--   PREFIX:tenant:QUEUE:NAME       hash: clock, how far it may be behind, candidate, its queue's or team's
--                                  share (weight), weights of members
-- and for all queues
--   PREFIX:tenant-limits           hash: tenant or team -> 'weight max_running rate', 0 for no limit
--   PREFIX:tenant-running:NAME     set: ids of running jobs
--   PREFIX:tenant-next:NAME        text: when its rate allows the next job
--   PREFIX:costs                   hash: operation -> seconds per image
-- A running job's record has a field `charged`: its cost, and for its team and itself how far the clock advanced for
-- each second of it, and the clock after that.
--
-- Only `tenants_of` is created here. The functions that it makes are created only if a tenant's job needs them.
local function paused_of(order)
  return (string.gsub(order, 'order:', 'paused-tenants:', 1))
end

-- Make the functions for the tenants of one queue.
--
-- order: the key of the queue's order; records: their prefix; now: Unix time in seconds
local function tenants_of(order, records, now)
  local prefix, queue = string.match(order, '^(.*)order:(.*)$')
  local candidates, held = prefix .. 'candidates:' .. queue, prefix .. 'held:' .. queue
  local counts, paused = prefix .. 'tenants:' .. queue, paused_of(order)
  local pace, limits = prefix .. 'pace:' .. queue, prefix .. 'tenant-limits'

  -- A tenant at its limit of running jobs is looked at again after this time, in case the end of a job was missed.
  local LOOK_AGAIN_S = 5
  -- The longest time that a clock is kept for an idle tenant. Redis refuses a TTL of more than 16 digits.
  local KEPT_MAX_S = 1e9

  -- A candidate as a member of the sorted set: its place with the name of its tenant within, so that the tenant is
  -- known even if somebody has deleted the record.
  local function member_of(place, name)
    return string.sub(place, 1, SEQUENCE_DIGITS) .. name .. '\n' .. string.sub(place, SEQUENCE_DIGITS + 1)
  end

  -- The place and the tenant of such a member.
  local function place_and_tenant(member)
    local number = string.sub(member, 1, SEQUENCE_DIGITS)
    local name, id = string.match(string.sub(member, SEQUENCE_DIGITS + 1), '^([^\n]*)\n(.*)$')
    return number .. id, name
  end

  local function jobs_of(name)
    return prefix .. 'tenant-jobs:' .. queue .. ':' .. name
  end

  local function state_of(name)
    return prefix .. 'tenant:' .. queue .. ':' .. name
  end

  local function running_of(name)
    return prefix .. 'tenant-running:' .. name
  end

  local function next_of(name)
    return prefix .. 'tenant-next:' .. name
  end

  local function team_of(name)
    return string.match(name, '^([^/]*)/')
  end

  -- The weight, the most running jobs and the rate of a tenant or team, read once.
  local known = {}
  local function limits_of(name)
    if not known[name] then
      local weight, most, rate = string.match(redis.call('HGET', limits, name) or '', '^(%S+) (%S+) (%S+)$')
      known[name] = { tonumber(weight) or 1, tonumber(most) or 0, tonumber(rate) or 0 }
    end
    return unpack(known[name])
  end

  local function exact(number)
    return string.format('%.17g', number)
  end

  -- When a tenant may be served, as far as its limits say: 0 for now.
  local function allowed_at(name)
    local _, most, rate = limits_of(name)
    local next_at = rate > 0 and number_of(redis.call('GET', next_of(name))) or 0
    if next_at > now then
      return next_at
    end
    if most > 0 and redis.call('SCARD', running_of(name)) >= most then
      return now + LOOK_AGAIN_S
    end
    return 0
  end

  -- True if a tenant and its team may be served now. Its candidate may be older than what another queue served.
  local function may_run(name)
    local team = team_of(name)
    return allowed_at(name) == 0 and (not team or allowed_at(team) == 0)
  end

  -- Add a weight to the sum of those who share a queue or a team.
  local function add_weight(team, weight)
    local key = team and state_of(team) or pace
    if tonumber(redis.call('HINCRBYFLOAT', key, 'weights', exact(weight))) < 1e-9 then
      redis.call('HDEL', key, 'weights')
    end
  end

  local function count_waiting(name, by)
    while name do
      if tonumber(redis.call('ZINCRBY', counts, by, name)) <= 0 then
        redis.call('ZREM', counts, name)
      end
      name = team_of(name)
    end
  end

  -- Take a job out of those that wait. Returns false if it does not wait.
  local function unhold(name, place)
    if redis.call('ZREM', jobs_of(name), place) == 0 then
      return false
    end
    redis.call('ZREM', held, place)
    count_waiting(name, -1)
    return true
  end

  -- The first waiting job of a tenant or team, its score, since when it waits, and its tenant. A job whose record
  -- somebody has deleted is dropped.
  local function first_of(name)
    local place, score = unpack(redis.call('ZRANGE', jobs_of(name), 0, 0, 'WITHSCORES'))
    while place do
      local since, tenant = unpack(redis.call('HMGET', records .. id_of(place), 'since', 'tenant'))
      if since and tenant then
        return place, tonumber(score), number_of(since), tenant
      end
      unhold(name, place)
      place, score = unpack(redis.call('ZRANGE', jobs_of(name), 0, 0, 'WITHSCORES'))
    end
  end

  -- Make the first waiting job of a tenant or team its candidate, if it may have one. Call it after each change of
  -- its jobs, its clock or its limits.
  local function settle(name)
    local call = redis.call
    local state, team = state_of(name), team_of(name)
    local into = team and jobs_of(team) or candidates
    local first, score, since, tenant = first_of(name)
    local clock, before, share, behind = unpack(call('HMGET', state, 'clock', 'candidate', 'weight', 'behind'))
    clock = number_of(clock)
    local weight = limits_of(name)
    local when = first and allowed_at(name) or 0
    local candidate
    if first and when == 0 then
      candidate = team and first or member_of(first, tenant)
    end
    if before and before ~= candidate then
      call('ZREM', into, before)
    end
    if when > 0 then
      call('ZADD', paused, when, name)
    else
      call('ZREM', paused, name)
    end
    if candidate then
      -- Only a team's set has jobs of others, with the times that delay them.
      local virtual = tenant == name and score or number_of(call('ZSCORE', held, first))
      -- A due date moves a job forward. It ends the head start of the others, but not their share.
      local delayed = clock > since and math.max(virtual, since) + clock - since or virtual
      local key = math.max(score, delayed)
      call('ZADD', into, exact(key), candidate)
      if before ~= candidate then
        call('HSET', state, 'candidate', candidate)
      end
      if share ~= exact(weight) then
        add_weight(team, weight - (tonumber(share) or 0))
        call('HSET', state, 'weight', exact(weight))
        call('PERSIST', state)
      end
    else
      if before then
        call('HDEL', state, 'candidate')
      end
      if share then
        add_weight(team, -tonumber(share))
        call('HDEL', state, 'weight')
        -- The sum is wrong after somebody has deleted the state of a tenant that waits.
        if not team and call('EXISTS', candidates) == 0 then
          call('HDEL', pace, 'weights')
        end
      end
      if not first then
        -- The clock outlives the last job as long as a tenant that was never charged would be charged less. Its next
        -- job may wait since long ago, such as the next step of a chain.
        local until_s = clock + number_of(behind) - now
        if until_s <= 0 then
          call('DEL', state)
        elseif call('EXISTS', state) == 1 then
          call('PEXPIRE', state, math.ceil(1000 * math.min(KEPT_MAX_S, until_s)) + 1)
        end
      end
    end
    if team then
      settle(team)
    end
  end

  -- Let a tenant's job wait, or give one that waits another virtual time.
  local function hold(name, place, virtual)
    redis.call('ZADD', held, exact(virtual), place)
    if redis.call('ZADD', jobs_of(name), exact(virtual), place) == 1 then
      count_waiting(name, 1)
    end
    settle(name)
  end

  --@include tenant_clocks

  -- Look again at tenants that had no candidate.
  local function settle_paused(most)
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', paused, '-inf', now, 'LIMIT', 0, most)) do
      settle(name)
    end
  end

  return { place_and_tenant = place_and_tenant, held = held, jobs_of = jobs_of, state_of = state_of, hold = hold,
    unhold = unhold, may_run = may_run, limit = limit, settle = settle, settle_paused = settle_paused, charge = charge,
    release = release }
end
