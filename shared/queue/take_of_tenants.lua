-- The parts of a take that are needed only if tenants have waiting jobs.

-- The functions for a queue's tenants, made once.
local function tenants_in(queue)
  queue.tenants = queue.tenants or tenants_of(queue.order, records, now)
  return queue.tenants
end

-- The next place of a queue, its virtual time, and the set that it is in.
local function next_of(queue)
  local place, score = unpack(call('ZRANGE', queue.order, 0, 0, 'WITHSCORES'))
  local candidate, delayed = unpack(call('ZRANGE', queue.candidates, 0, 0, 'WITHSCORES'))
  score, delayed = tonumber(score), tonumber(delayed)
  if candidate and (not place or delayed < score or (delayed == score and candidate < place)) then
    return candidate, delayed, queue.candidates
  end
  return place, score, queue.order
end

-- Take the next place out of its queue. Returns the queue, the place, and its tenant if it has one. The place is nil
-- if the tenant has reached a limit by jobs of another queue.
local function pop_next()
  local best, earliest, next_place, from
  for _, each in ipairs(queues) do
    local place, score, set = next_of(each)
    local due = place and due_at(score)
    if due and (not best or due < earliest) then
      best, earliest, next_place, from = each, due, place, set
    end
  end
  if not best then
    return nil
  end
  call('ZREM', from, next_place)
  if from == best.order then
    return best, next_place
  end
  local of = tenants_in(best)
  local place, tenant = of.place_and_tenant(next_place)
  if of.may_run(tenant) then
    return best, place, tenant
  end
  of.settle(tenant)
  return best
end

-- Charge a tenant for its candidate, which will run: see `charge`.
local function charge_taken(queue, tenant, place, since, op, items)
  return tenants_in(queue).charge(tenant, place, since, op, items, call('ZCARD', running) + 1)
end

-- Take a tenant's candidate that does not run out of the jobs that wait.
local function drop(queue, tenant, place)
  local of = tenants_in(queue)
  of.unhold(tenant, place)
  of.settle(tenant)
end
