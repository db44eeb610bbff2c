-- Send a worker's heartbeat. Wake an idle worker if a job waits that no worker was woken for: a plain client's
-- message, a scheduled job that is due now, or a job whose woken worker has died.
--
-- KEYS: the worker's heartbeat, the worker ids (a set); then for each of the worker's queues its order, its
--       scheduled jobs, its idle workers, its ten inlets, its candidates, its paused tenants
-- ARGV: TTL of the heartbeat in seconds, the worker id, now, the text of the heartbeat
--@include order
--@include arrivals
local FIXED_KEYS = 2
local alive, workers = unpack(KEYS, 1, FIXED_KEYS)
local ttl_s, worker_id, now, text = unpack(ARGV)
local call = redis.call
-- Start with an EXPIRE, which needs no memory: after it, even a full Redis runs the rest of the script, so that
-- living workers do not seem dead while nothing can be written.
call('EXPIRE', alive, ttl_s)
call('SADD', workers, worker_id)
call('SET', alive, text, 'EX', ttl_s)
for first = FIXED_KEYS, #KEYS - 1, KEYS_A_QUEUE do
  if has_next(first) or has_arrivals(first, now) then
    wake_one(KEYS[first + 3])
  end
end
