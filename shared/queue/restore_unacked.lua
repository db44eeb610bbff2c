-- Restore unacked deliveries of running jobs that somebody has deleted, in a bounded step.
--
-- After that, a living worker can acknowledge its job, and a dead worker's job is requeued as usual.
--
-- KEYS: running jobs, jobs to give up on (a set), the worker ids (a set), then the inlets of all queues
-- ARGV: the cursor of a ZSCAN of the running jobs, about how many jobs to look at, the prefixes of records and of
--       unacked deliveries
-- Returns the next cursor, how many deliveries were restored, and the ids of jobs that no worker has. While an
--       inlet has messages, jobs without a message are left out: their messages may be among those.
local running, given_up, workers = unpack(KEYS, 1, 3)
local cursor, most, records, reserved = unpack(ARGV)
local call = redis.call
-- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script.
call('ZREM', running, '')
local all_admitted = call('EXISTS', unpack(KEYS, 4)) == 0
local next_cursor, found = unpack(call('ZSCAN', running, cursor, 'COUNT', most))
local restored, orphans = 0, {}
for index = 1, #found, 2 do
  local id = found[index]
  local tag, worker_id, queue = unpack(call('HMGET', records .. id, 'tag', 'worker_id', 'queue'))
  if call('SISMEMBER', given_up, id) == 0 then
    if not (tag and worker_id and queue) then
      if all_admitted or call('HEXISTS', records .. id, 'message') == 1 then
        orphans[#orphans + 1] = id
      end
    elseif call('HSETNX', reserved .. worker_id, tag, '\n' .. queue .. '\n' .. id) == 1 then
      call('SADD', workers, worker_id)
      restored = restored + 1
    end
  end
end
return { next_cursor, restored, orphans }
