-- Counting that fails nobody: a count that cannot be written (its sum has no room left, say) is dropped,
-- and the drop is counted.
local function count(key, field, by, counters)
  local answer = redis.pcall('HINCRBY', key, field, by)
  if type(answer) == 'table' and answer.err then
    redis.pcall('HINCRBY', counters, 'metrics_dropped', 1)
  end
end
