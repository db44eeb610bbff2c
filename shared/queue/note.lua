-- Note the progress of an upkeep task, also in a full Redis.
--
-- KEYS: the notes (a hash)
-- ARGV: pairs of a field and its value; an empty value removes the field
local notes = unpack(KEYS)
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
redis.call('HDEL', notes, '')
for index = 1, #ARGV, 2 do
  local field, value = unpack(ARGV, index, index + 1)
  if value == '' then
    redis.call('HDEL', notes, field)
  else
    redis.call('HSET', notes, field, value)
  end
end
