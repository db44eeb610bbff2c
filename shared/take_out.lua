-- Take a job's message out of one stretch of a list.
--
-- KEYS: the list
-- ARGV: the first and the last place to look at, the job's id
-- Returns 1 where it was found, and how many messages were looked at.
local messages = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])
local quoted = '"' .. ARGV[3] .. '"'
for _, message in ipairs(messages) do
  local at = string.find(message, quoted, 1, true)
  -- Other messages name it as their parent or their root; its own has it as "id".
  while at do
    if string.find(string.sub(message, math.max(1, at - 8), at - 1), '"id"%s*:%s*$') then
      redis.call('LREM', KEYS[1], 1, message)
      return {1, #messages}
    end
    at = string.find(message, quoted, at + 1, true)
  end
end
return {0, #messages}
