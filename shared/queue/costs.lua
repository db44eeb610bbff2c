-- What an image of each operation costs: a moving average of the measured times of jobs that are done.

local UNKNOWN_COST_S = 0.1 -- as in shared/protocol/fair_share.py
-- Weight of the latest job in the average, and the bounds of a cost per image.
local NEWEST_COST, COST_MIN_S, COST_MAX_S = 0.05, 1e-4, 3600

-- The cost of a job in seconds. order: the key of any queue's order
local function cost_of(order, op, items)
  local key = string.match(order, '^(.*)order:') .. 'costs'
  return (tonumber(redis.call('HGET', key, op) or '') or UNKNOWN_COST_S) * math.max(1, items)
end

-- Learn from a job that ran for ran_s seconds.
local function learn_cost(order, op, items, ran_s)
  local key = string.match(order, '^(.*)order:') .. 'costs'
  local cost_s = math.max(COST_MIN_S, math.min(COST_MAX_S, ran_s / math.max(1, items)))
  local before = tonumber(redis.call('HGET', key, op) or '')
  local average_s = before and before + NEWEST_COST * (cost_s - before) or cost_s
  redis.call('HSET', key, op, string.format('%.17g', average_s))
end
