-- Acknowledge a delivery. After this no worker has the job.
--
-- An ended job may have kept its message until its chord had counted it. The message is removed now. For a task
-- that is not an operation, the whole record is deleted.

-- Once a hash has had a long value, Redis does not store it compactly again. So the record is written anew.
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
    return true -- a message of a queue without an order has no record
  end
  local record = records .. id
  local found = redis.call('HMGET', record, 'tag', 'op', 'state')
  if found[1] ~= tag then
    return true -- the job has ended, or is being retried
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
