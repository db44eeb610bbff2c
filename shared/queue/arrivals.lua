-- Jobs that are not in their queue's order yet. A queue has 13 keys in KEYS: its order, its scheduled jobs, its
-- idle workers and its ten inlets (kombu's lists, into which plain clients push).
local KEYS_A_QUEUE = 13

-- The inlets of the queue whose keys come after KEYS[first].
local function inlets_of(first)
  return unpack(KEYS, first + 4, first + KEYS_A_QUEUE)
end

-- True if a plain client's message, or a scheduled job that is due, can be admitted to the queue's order.
local function has_arrivals(first, now)
  local scheduled = KEYS[first + 2]
  return redis.call('EXISTS', inlets_of(first)) > 0
    or redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, 1)[1] ~= nil
end
