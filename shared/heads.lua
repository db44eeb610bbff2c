-- Read the lengths and the heads of waiting lists.
--
-- After shrink.lua.
-- KEYS: the lists
-- ARGV: the most bytes of a message
-- Returns for each list its length and its head: '' if it is empty, a stand-in if the head is larger.
local found = {}
for _, list in ipairs(KEYS) do
  found[#found + 1] = redis.call('LLEN', list)
  found[#found + 1] = shrunk(redis.call('LINDEX', list, -1) or '', tonumber(ARGV[1]))
end
return found
