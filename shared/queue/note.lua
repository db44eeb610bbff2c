-- Note how far a duty of upkeep has come, also in a Redis that is full.
--
-- KEYS: the notes (a hash)
-- ARGV: fields and values; a field with an empty value is removed
-- An HDEL takes no memory, so a Redis that is full lets a script that starts with one go on.
redis.call('HDEL', KEYS[1], '')
for index = 1, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[index])
  else
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
