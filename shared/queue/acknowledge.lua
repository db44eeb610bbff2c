-- Acknowledge messages whose jobs have ended.
--
-- KEYS: what the worker has reserved (a hash)
-- ARGV: the prefix of records, then the tags
--@include acknowledging
for index = 2, #ARGV do
  acknowledge(KEYS[1], ARGV[index], ARGV[1])
end
