-- Bind a queue to an exchange as kombu does, but also in a full Redis.
--
-- KEYS: sets of the exchange's bindings: all, and those that do not expire unless this one does
-- ARGV: the binding
local binding = unpack(ARGV)
-- Start with an SREM, which needs no memory: after it, even a full Redis runs the rest of the script.
redis.call('SREM', KEYS[1], binding)
for _, bindings in ipairs(KEYS) do
  redis.call('SADD', bindings, binding)
end
