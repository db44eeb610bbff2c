-- Add to a counter without ever failing. An increment that cannot be written, for example because the sum
-- would overflow, is dropped, and the drop is counted in `counters`.
local function count(key, field, by, counters)
  local answer = redis.pcall('HINCRBY', key, field, by)
  if type(answer) == 'table' and answer.err then
    redis.pcall('HINCRBY', counters, 'metrics_dropped', 1)
  end
end
