-- Keep a dead letter; if too many are kept, only count it.
--
-- KEYS: the letter, all letters, counters, the record of a job of its id, jobs to give up (a set)
-- ARGV: its id, now, the counter of such letters, the most letters ('' for any), then its fields and values
-- Returns 1, or 0 if it was only counted.
-- A ZREM takes no memory, so a Redis that is full lets a script that starts with one go on: what is refused there
-- must not come back to end the next worker, nor a killer job to run again.
--@include count
--@include order
local letter, letters, counts, record, given_up = unpack(KEYS)
local id, now, counter, most = unpack(ARGV, 1, 4)
local call = redis.call
call('ZREM', letters, id)
call('SREM', given_up, id)
count(counts, counter, 1, counts)
local state = call('HGET', record, 'state')
if state and not is_open(state) then
  -- The letter has the message from now on.
  call('HDEL', record, 'tag', 'worker_id', 'message', 'place', 'queue', 'since', 'retries', 'chord')
end
if most ~= '' and call('ZCARD', letters) >= tonumber(most) then
  return 0
end
call('HSET', letter, unpack(ARGV, 5))
call('ZADD', letters, now, id)
return 1
