-- Give tenants the candidates that they should have, in a bounded step. They lack them if somebody has deleted a key.
--
-- KEYS: the queue's order, its tenants by how many jobs wait (a sorted set)
-- ARGV: the cursor of a ZSCAN of the tenants, about how many to look at, the prefix of records, now
-- Returns the next cursor, and how many tenants have fewer places than waiting jobs.
--@include order
--@include tenants
local order, counts = unpack(KEYS)
local cursor, most, records, now = unpack(ARGV)
local call = redis.call
-- Start with a ZREM, which needs no memory: after it, even a full Redis runs the rest of the script.
call('ZREM', counts, '')
local of = tenants_of(order, records, tonumber(now))
local next_cursor, found = unpack(call('ZSCAN', counts, cursor, 'COUNT', most))
local damaged = 0
for index = 1, #found, 2 do
  local name, count = found[index], tonumber(found[index + 1])
  of.settle(name)
  -- A team counts the jobs of its members, which have places of their own.
  if call('ZCARD', of.about(name).jobs) < count and call('HEXISTS', of.about(name).state, 'weights') == 0 then
    damaged = damaged + 1
  end
end
return { next_cursor, damaged }
