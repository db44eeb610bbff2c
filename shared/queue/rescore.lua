-- Give waiting jobs the places that the law in force gives them, in a bounded step.
--
-- KEYS: the queue's order, what the beat task knows of the queue (a hash), k of each queue
-- ARGV: the queue, k if no other is in force, the prefix of records, about how many jobs
-- Returns how many jobs were looked at, how many have moved, and 1 if this was the last step.
--@include order
local order, aging, ks = unpack(KEYS)
local queue, k, records, most = unpack(ARGV)
local call = redis.call
k = tonumber(call('HGET', ks, queue) or k)
local cursor = call('HGET', aging, 'rescore_cursor')
if not cursor then
  return { 0, 0, 1 }
end
local next_cursor, found = unpack(call('ZSCAN', order, cursor, 'COUNT', most))
local moved = 0
for index = 1, #found, 2 do
  local place, score = found[index], tonumber(found[index + 1])
  local since, level = unpack(call('HMGET', records .. id_of(place), 'since', 'level'))
  if since and level then
    local right = virtual_time(tonumber(since), tonumber(level), k)
    if right ~= score then
      call('ZADD', order, 'XX', right, place)
      moved = moved + 1
    end
  end
end
if next_cursor == '0' then
  call('HDEL', aging, 'rescore_cursor')
else
  call('HSET', aging, 'rescore_cursor', next_cursor)
end
return { #found / 2, moved, next_cursor == '0' and 1 or 0 }
