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
--   PREFIX:tenant:QUEUE:NAME       hash: clock, how far it may be behind, candidate, its score and since when it
--                                  waits (not of teams and members), its queue's or team's share (weight),
--                                  weights of members
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

  -- What is known of a tenant or team: its team, the keys of its state and its jobs, and its limits once they were
  -- read.
  local known = {}
  local function about(name)
    local found = known[name]
    if not found then
      local slash = string.find(name, '/', 1, true)
      local own = queue .. ':' .. name
      found = { team = slash and string.sub(name, 1, slash - 1), state = prefix .. 'tenant:' .. own,
        jobs = prefix .. 'tenant-jobs:' .. own }
      known[name] = found
    end
    return found
  end

  local function running_of(name)
    return prefix .. 'tenant-running:' .. name
  end

  local function next_of(name)
    return prefix .. 'tenant-next:' .. name
  end

  -- The weight, the most running jobs and the rate of a tenant or team.
  local function limits_of(name)
    local found = about(name)
    if not found.weight then
      local given = redis.call('HGET', limits, name)
      local weight, most, rate
      if given then
        weight, most, rate = string.match(given, '^(%S+) (%S+) (%S+)$')
      end
      found.weight, found.most, found.rate = tonumber(weight) or 1, tonumber(most) or 0, tonumber(rate) or 0
    end
    return found.weight, found.most, found.rate
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
    local team = about(name).team
    return allowed_at(name) == 0 and (not team or allowed_at(team) == 0)
  end

  -- Add a weight to the sum of those who share a queue or a team.
  local function add_weight(team, weight)
    local key = team and about(team).state or pace
    if tonumber(redis.call('HINCRBYFLOAT', key, 'weights', exact(weight))) < 1e-9 then
      redis.call('HDEL', key, 'weights')
    end
  end

  local function count_waiting(name, by)
    while name do
      if tonumber(redis.call('ZINCRBY', counts, by, name)) <= 0 then
        redis.call('ZREM', counts, name)
      end
      name = about(name).team
    end
  end

  -- Take a job out of those that wait. Returns false if it does not wait.
  local function unhold(name, place)
    if redis.call('ZREM', about(name).jobs, place) == 0 then
      return false
    end
    redis.call('ZREM', held, place)
    count_waiting(name, -1)
    return true
  end

  -- The first waiting job of a tenant or team, its score, since when it waits, and its tenant. A job whose record
  -- somebody has deleted is dropped.
  local function first_of(name)
    local jobs = about(name).jobs
    local place, score = unpack(redis.call('ZRANGE', jobs, 0, 0, 'WITHSCORES'))
    while place do
      local since, tenant = unpack(redis.call('HMGET', records .. id_of(place), 'since', 'tenant'))
      if since and tenant then
        return place, tonumber(score), number_of(since), tenant
      end
      unhold(name, place)
      place, score = unpack(redis.call('ZRANGE', jobs, 0, 0, 'WITHSCORES'))
    end
  end

  -- The delayed virtual time of a candidate, never before its place.
  local function delayed(score, virtual, since, clock)
    -- A due date moves a job forward. It ends the head start of the others, but not their share.
    return clock > since and math.max(score, math.max(virtual, since) + clock - since) or math.max(score, virtual)
  end

  -- The state of a tenant or team, as `settle` needs it: clock, candidate, share, how far the clock may be behind,
  -- and the score of its candidate.
  local function read_state(name)
    return redis.call('HMGET', about(name).state, 'clock', 'candidate', 'weight', 'behind', 'score')
  end

  -- Make the first waiting job of a tenant or team its candidate, if it may have one. Call it after each change of
  -- its jobs, its clock or its limits.
  --
  -- read: what `read_state` would return, if it is known
  local function settle(name, read)
    local call = redis.call
    local state, team = about(name).state, about(name).team
    local into = team and about(team).jobs or candidates
    local first, score, since, tenant = first_of(name)
    local clock, before, share, behind, score_before = unpack(read or read_state(name))
    clock, share = number_of(clock), tonumber(share)
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
    elseif not before then
      call('ZREM', paused, name) -- with a candidate it was not paused
    end
    if candidate then
      -- Only a team's set has jobs of others, with the times that delay them.
      local virtual = tenant == name and score or number_of(call('ZSCORE', held, first))
      call('ZADD', into, delayed(score, virtual, since, clock), candidate)
      if tenant == name and not team then
        if before ~= candidate or tonumber(score_before) ~= score then
          call('HSET', state, 'candidate', candidate, 'score', score, 'since', since)
        end
      elseif before ~= candidate then
        call('HSET', state, 'candidate', candidate)
        if score_before then
          call('HDEL', state, 'score', 'since') -- of a job of the team's own name
        end
      end
      if share ~= weight then
        add_weight(team, weight - (share or 0))
        call('HSET', state, 'weight', weight)
        call('PERSIST', state)
      end
    else
      if before then
        call('HDEL', state, 'candidate', 'score', 'since')
      end
      if share then
        add_weight(team, -share)
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
    local call, jobs = redis.call, about(name).jobs
    call('ZADD', held, virtual, place)
    if call('ZADD', jobs, virtual, place) == 1 then
      count_waiting(name, 1)
      -- Behind the first job of its tenant it changes no candidate.
      if call('ZRANK', jobs, place) > 0 then
        return
      end
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

  return { place_and_tenant = place_and_tenant, held = held, about = about, hold = hold, unhold = unhold,
    may_run = may_run, limit = limit, settle = settle, settle_paused = settle_paused, charge = charge, release = release }
end
