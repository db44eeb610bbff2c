-- Acknowledge messages whose jobs have ended.
--
-- KEYS: the worker's unacked deliveries (a hash)
-- ARGV: the prefix of records, then the tags to acknowledge
--@include acknowledging
local reserved = unpack(KEYS)
local records, first_tag = ARGV[1], 2
for index = first_tag, #ARGV do
  acknowledge(reserved, ARGV[index], records)
end
