-- What an image of each operation costs: a moving average of the measured times of jobs that are done.

-- The cost of a job in seconds. order: the key of any queue's order
local function cost_of(order, op, items)
  local key = string.match(order, '^(.*)order:') .. 'costs'
  return (tonumber(redis.call('HGET', key, op) or '') or 0.1) * math.max(1, items)
end

-- Learn from a job that ran for ran_s seconds.
local function learn_cost(order, op, items, ran_s)
  local key = string.match(order, '^(.*)order:') .. 'costs'
  local cost_s = math.max(1e-4, math.min(3600, ran_s / math.max(1, items)))
  local before = tonumber(redis.call('HGET', key, op) or '')
  redis.call('HSET', key, op, string.format('%.17g', before and before + 0.05 * (cost_s - before) or cost_s))
end
