-- Take the next message, and note in the same step who has it: no moment is left in which a worker
-- can die with a message that nobody knows of.
--
-- KEYS: what the run has reserved (a hash), then the waiting lists, the most urgent first
-- ARGV: the tag to note the message under
-- Returns the list and the message, or nothing where none waits.
for index = 2, #KEYS do
  local message = redis.call('RPOP', KEYS[index])
  if message then
    redis.call('HSET', KEYS[1], ARGV[1], KEYS[index] .. '\n' .. message)
    return {KEYS[index], message}
  end
end
return false
