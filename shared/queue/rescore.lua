-- Move waiting jobs to the virtual times of a new k, in a bounded step.
--
-- KEYS: the queue's order, the beat task's notes about the queue (a hash), k of each queue (a hash)
-- ARGV: the queue, its k if the hash has none, the prefix of records, about how many jobs to look at
-- Returns 1 if every job has been moved, otherwise 0.
--@include order
local order, notes, ks = unpack(KEYS)
local queue, k, records, most = unpack(ARGV)
local call = redis.call
local cursor = call('HGET', notes, 'rescore_cursor')
if not cursor then
  return 1
end
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
call('HDEL', notes, 'rescore_cursor')
k = tonumber(call('HGET', ks, queue) or k)
-- A ZSCAN returns each job that waits during the whole scan, even if scores change. Jobs that are enqueued during
-- the scan get their virtual times from the new k.
local next_cursor, found = unpack(call('ZSCAN', order, cursor, 'COUNT', most))
for index = 1, #found, 2 do
  local place, score = found[index], tonumber(found[index + 1])
  local since, level = unpack(call('HMGET', records .. id_of(place), 'since', 'level'))
  if since and level then
    local new_score = virtual_time(tonumber(since), tonumber(level), k)
    if new_score ~= score then
      call('ZADD', order, 'XX', new_score, place)
    end
  end
end
call('HINCRBY', notes, 'rescored', #found / 2)
if next_cursor == '0' then
  return 1
end
call('HSET', notes, 'rescore_cursor', next_cursor)
return 0
