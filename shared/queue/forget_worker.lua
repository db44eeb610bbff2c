-- Forget a silent worker, unless it has sent a heartbeat since or has reserved something: a forgotten worker's
-- jobs would never be requeued.
--
-- KEYS: the worker ids (a set), the worker's heartbeat, its unacked deliveries (a hash)
-- ARGV: the worker id
local workers, alive, reserved = unpack(KEYS)
local worker_id = unpack(ARGV)
if redis.call('EXISTS', alive, reserved) == 0 then
  redis.call('SREM', workers, worker_id)
end
