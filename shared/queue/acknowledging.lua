-- Let go of what a worker has reserved. After this the job is nobody's.
--
-- The record of an ended job that waited for its part of a chord to be counted loses its message now; the
-- record of another task's message goes.

-- Redis does not store a hash compactly that has had a long value, so the record is written once more.
local function drop_message(record)
  redis.call('HDEL', record, 'message', 'place', 'queue', 'since', 'retries', 'chord')
  local kept, ttl_ms = redis.call('HGETALL', record), redis.call('PTTL', record)
  redis.call('DEL', record)
  redis.call('HSET', record, unpack(kept))
  if ttl_ms > 0 then
    redis.call('PEXPIRE', record, ttl_ms)
  end
end

local function acknowledge(reserved, tag, records)
  local entry = redis.call('HGET', reserved, tag)
  if not entry then
    return false
  end
  redis.call('HDEL', reserved, tag)
  local id = string.match(entry, '^\n[^\n]*\n(.*)$')
  if not id then
    return true -- of a queue without an order: the entry was the message itself
  end
  local record = records .. id
  local found = redis.call('HMGET', record, 'tag', 'op', 'state')
  if found[1] ~= tag then
    return true -- it has ended, or is tried again
  end
  if found[2] == '' then
    redis.call('DEL', record)
  else
    redis.call('HDEL', record, 'tag', 'worker_id')
    if not (found[3] == 'waiting' or found[3] == 'running') then
      drop_message(record)
    end
  end
  return true
end
