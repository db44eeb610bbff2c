-- Forget a silent worker, unless it has beaten since or has reserved something: nobody would look at that.
--
-- KEYS: the worker ids, its sign of life, what it has reserved
-- ARGV: the worker id
local workers, alive, reserved = unpack(KEYS)
if redis.call('EXISTS', alive, reserved) == 0 then
  redis.call('SREM', workers, ARGV[1])
end
