-- Say that a worker lives, and wake an idle one if jobs wait that nobody was told of: a plain client's message,
-- a job whose time has come, one of which a worker was told that has died.
--
-- KEYS: the key that says so, the worker ids (a set); then for each of the worker's queues its order, its
--       scheduled jobs, its idle workers, its ten lists
-- ARGV: seconds that it says so, the worker id, now
--@include order
local FIXED_KEYS, KEYS_A_QUEUE = 2, 13
local alive, workers = unpack(KEYS, 1, FIXED_KEYS)
local seconds, worker_id, now = unpack(ARGV)
local call = redis.call
-- EXPIRE takes no memory, so a Redis that is full lets a script that starts with it go on: workers do not pass
-- for dead while nothing can be written.
call('EXPIRE', alive, seconds)
call('SADD', workers, worker_id)
call('SET', alive, 1, 'EX', seconds)
for first = FIXED_KEYS, #KEYS - 1, KEYS_A_QUEUE do
  local order, scheduled, idle = unpack(KEYS, first + 1, first + 3)
  if call('ZCARD', order) > 0 or call('EXISTS', unpack(KEYS, first + 4, first + KEYS_A_QUEUE)) > 0
    or call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, 1)[1] then
    wake_one(idle)
  end
end
