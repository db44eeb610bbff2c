-- Look at running jobs in a bounded step. What a worker has, and somebody has deleted, it has again.
--
-- So a living worker's acknowledgement is known, and a dead worker's job returns like any other.
--
-- KEYS: running jobs, jobs to give up (a set), the worker ids, then kombu's lists
-- ARGV: where to go on in the running jobs (as ZSCAN has it), about how many jobs, the prefixes of records and of
--       what workers have reserved
-- Returns where to go on, how many reservations were written again, and the ids of those jobs that no worker has.
--       If a list still has messages, that of a job without one may be among those.
local running, given_up, workers = unpack(KEYS, 1, 3)
local cursor, most, records, reserved = unpack(ARGV)
local call = redis.call
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on.
call('ZREM', running, '')
local all_admitted = call('EXISTS', unpack(KEYS, 4)) == 0
local next_cursor, found = unpack(call('ZSCAN', running, cursor, 'COUNT', most))
local held, nobodys = 0, {}
for index = 1, #found, 2 do
  local id = found[index]
  local tag, worker_id, queue = unpack(call('HMGET', records .. id, 'tag', 'worker_id', 'queue'))
  if call('SISMEMBER', given_up, id) == 0 then
    if not (tag and worker_id and queue) then
      if all_admitted or call('HEXISTS', records .. id, 'message') == 1 then
        nobodys[#nobodys + 1] = id
      end
    elseif call('HSETNX', reserved .. worker_id, tag, '\n' .. queue .. '\n' .. id) == 1 then
      call('SADD', workers, worker_id)
      held = held + 1
    end
  end
end
return { next_cursor, held, nobodys }
