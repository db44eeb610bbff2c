-- Set or remove the limits of a tenant or team. They hold from the next take on.
--
-- KEYS: the limits of tenants (a hash); then each queue's order
-- ARGV: the name, the limits ('' to remove them), the prefix of records, now
--@include order
--@include tenants
local limits = KEYS[1]
local name, given, records, now = unpack(ARGV)
if given == '' then
  redis.call('HDEL', limits, name)
else
  redis.call('HSET', limits, name, given)
end
for number = 2, #KEYS do
  local of = tenants_of(KEYS[number], records, tonumber(now))
  of.limit(name)
  of.settle(name)
end
