-- Bind a queue to an exchange as kombu does, also on a Redis that is full.
--
-- KEYS: the exchange's bindings, and those that do not expire unless this one does
-- ARGV: the binding
--
-- An SREM takes no memory, so it lets a script that starts with one go on.
redis.call('SREM', KEYS[1], ARGV[1])
for _, bindings in ipairs(KEYS) do
  redis.call('SADD', bindings, ARGV[1])
end
