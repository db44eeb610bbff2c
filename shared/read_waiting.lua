-- Read a stretch of a waiting list.
--
-- After shrink.lua.
-- KEYS: the list
-- ARGV: the first and the last place, the most bytes of a message
-- Returns the messages; a stand-in for each that is larger.
local first, last, most = unpack(ARGV)
local messages = redis.call('LRANGE', KEYS[1], first, last)
for index, message in ipairs(messages) do
  messages[index] = shrunk(message, tonumber(most))
end
return messages
