-- Add to counters.
--
-- KEYS: the counters to add to, the counters of rare events
-- ARGV: fields, each with by how much it has grown
--@include count
for i = 1, #ARGV, 2 do
  count(KEYS[1], ARGV[i], ARGV[i + 1], KEYS[2])
end
