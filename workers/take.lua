-- Take the next message, and note in the same step who has it: no moment is left in which a worker
-- can die with a message that nobody knows of.
--
-- A run that was silent for too long is on the list of runs no more: it is entered again.
--
-- A message that is too large is dropped, and reserved as a small one that stands in for it.
--
-- After shrink.lua.
-- KEYS: what the run has reserved (a hash), the runs, then the waiting lists, the most urgent first
-- ARGV: the run ('' where it has no name), the tag to note the message under, the most bytes of a
--       message, then the tags of messages whose jobs have ended
-- Returns the list and the message, or nothing where none waits.
-- Neither HDEL nor RPOP takes memory, so a Redis that is full lets a script that starts with one go on.
if #ARGV > 3 then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
end
for index = 3, #KEYS do
  local message = redis.call('RPOP', KEYS[index])
  if message then
    message = shrunk(message, tonumber(ARGV[3]))
    if ARGV[1] ~= '' then
      redis.call('SADD', KEYS[2], ARGV[1])
    end
    redis.call('HSET', KEYS[1], ARGV[2], KEYS[index] .. '\n' .. message)
    return {KEYS[index], message}
  end
end
return false
