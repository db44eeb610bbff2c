-- Find a job's message in one stretch of a waiting list.
--
-- After shrink.lua.
-- KEYS: the list
-- ARGV: the first and the last place to look at, the job's id as JSON writes it, the most bytes of a
--       message
-- Returns the message, or '' if it is not there; and how many messages were looked at.
local first, last, id, most = unpack(ARGV)
local messages = redis.call('LRANGE', KEYS[1], first, last)
for _, message in ipairs(messages) do
  local at = string.find(message, id, 1, true)
  -- Other messages name it as their parent or their root. Its own has it as "id".
  while at do
    if string.find(string.sub(message, math.max(1, at - 8), at - 1), '"id"%s*:%s*$') then
      return {shrunk(message, tonumber(most)), #messages}
    end
    at = string.find(message, id, at + 1, true)
  end
end
return {'', #messages}
