-- Take the next message, and note in the same step who has it: no moment is left in which a worker
-- can die with a message that nobody knows of.
--
-- KEYS: what the run has reserved (a hash), then the waiting lists, the most urgent first
-- ARGV: the tag to note the message under, then the tags of messages whose jobs have ended
-- Returns the list and the message, or nothing where none waits.
-- Neither HDEL nor RPOP takes memory, so a Redis that is full lets a script that starts with one go on.
if #ARGV > 1 then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 2))
end
for index = 2, #KEYS do
  local message = redis.call('RPOP', KEYS[index])
  if message then
    redis.call('HSET', KEYS[1], ARGV[1], KEYS[index] .. '\n' .. message)
    return {KEYS[index], message}
  end
end
return false
