-- Add to counters.
--
-- KEYS: the counters to add to (a hash), the counters of rare events (a hash)
-- ARGV: pairs of a field and its increment
--@include count
local counters, rare = unpack(KEYS)
for index = 1, #ARGV, 2 do
  local field, increment = unpack(ARGV, index, index + 1)
  count(counters, field, increment, rare)
end
