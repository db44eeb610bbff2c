-- Give waiting jobs the places that the law in force gives them, in a bounded step.
--
-- KEYS: the queue's order, the beat task's notes about the queue (a hash), k of each queue
-- ARGV: the queue, k if no other is in force, the prefix of records, about how many jobs
-- Returns 1 if every job has its place, otherwise 0.
--@include order
local order, notes, ks = unpack(KEYS)
local queue, k, records, most = unpack(ARGV)
local call = redis.call
local cursor = call('HGET', notes, 'rescore_cursor')
if not cursor then
  return 1
end
-- An HDEL takes no memory, so a Redis that is full lets a script that starts with one go on.
call('HDEL', notes, 'rescore_cursor')
k = tonumber(call('HGET', ks, queue) or k)
-- A scan returns each job that waits from its beginning to its end, though scores change meanwhile. Jobs that
-- come meanwhile get their places by the law in force.
local next_cursor, found = unpack(call('ZSCAN', order, cursor, 'COUNT', most))
for index = 1, #found, 2 do
  local place, score = found[index], tonumber(found[index + 1])
  local since, level = unpack(call('HMGET', records .. id_of(place), 'since', 'level'))
  if since and level then
    local right = virtual_time(tonumber(since), tonumber(level), k)
    if right ~= score then
      call('ZADD', order, 'XX', right, place)
    end
  end
end
call('HINCRBY', notes, 'rescored', #found / 2)
if next_cursor == '0' then
  return 1
end
call('HSET', notes, 'rescore_cursor', next_cursor)
return 0
