-- Jobs that are not in their queue's order yet. A queue has 15 keys in KEYS: its order, its scheduled jobs, its
-- idle workers, its ten inlets (kombu's lists, into which plain clients push), the candidates of its tenants, and
-- its paused tenants.
local KEYS_A_QUEUE, INLETS = 15, 10

-- The inlets of the queue whose keys come after KEYS[first].
local function inlets_of(first)
  return unpack(KEYS, first + 4, first + 3 + INLETS)
end

-- True if a plain client's message, or a scheduled job that is due, can be admitted to the queue's order, or if a
-- paused tenant may have a candidate again.
local function has_arrivals(first, now)
  if redis.call('EXISTS', inlets_of(first)) > 0 then
    return true
  end
  for _, key in ipairs({ KEYS[first + 2], KEYS[first + KEYS_A_QUEUE] }) do
    if redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 1)[1] then
      return true
    end
  end
  return false
end

-- True if a job can be taken from the queue.
local function has_next(first)
  return redis.call('ZCARD', KEYS[first + 1]) > 0 or redis.call('ZCARD', KEYS[first + KEYS_A_QUEUE - 1]) > 0
end
