-- Keep a dead letter. If there are too many already, only count it.
--
-- KEYS: the letter (a hash), all letters, counters of rare events, the record of the job with the letter's id,
--       jobs to give up on (a set)
-- ARGV: the letter's id, now, the counter of such letters, the most letters to keep ('' for any number), then its
--       fields and values
-- Returns 1, or 0 if the letter was only counted.
--@include count
--@include order
local letter, letters, counts, record, given_up = unpack(KEYS)
local id, now, counter, most = unpack(ARGV, 1, 4)
local call = redis.call
-- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script. Otherwise a
-- job that takes workers down would run again.
call('ZREM', letters, id)
call('SREM', given_up, id)
count(counts, counter, 1, counts)
local state = call('HGET', record, 'state')
if state and not is_open(state) then
  -- The letter keeps the message from now on.
  call('HDEL', record, 'tag', 'worker_id', 'message', 'place', 'queue', 'since', 'retries', 'chord')
end
if most ~= '' and call('ZCARD', letters) >= tonumber(most) then
  return 0
end
call('HSET', letter, unpack(ARGV, 5))
call('ZADD', letters, now, id)
return 1
