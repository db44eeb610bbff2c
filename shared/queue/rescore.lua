-- Move waiting jobs to the virtual times of a new k, in a bounded step.
--
-- KEYS: the queue's order, the beat task's notes about the queue (a hash), k of each queue (a hash)
-- ARGV: the queue, its k if the hash has none, the prefix of records, about how many jobs to look at, now
-- Returns 1 if every job has been moved, otherwise 0.
--@include order
--@include tenants
local order, notes, ks = unpack(KEYS)
local queue, k, records, most, now = unpack(ARGV)
local call = redis.call
local of = tenants_of(order, records, tonumber(now))
-- First the jobs without a tenant, then those of tenants, whose cursor begins with a letter.
local part, cursor = string.match(call('HGET', notes, 'rescore_cursor') or '', '^(t?)(%d+)$')
if not cursor then
  return 1
end
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
call('HDEL', notes, 'rescore_cursor')
k = tonumber(call('HGET', ks, queue) or k)
local set = part == '' and order or of.held
-- A ZSCAN returns each job that waits during the whole scan, even if scores change. Jobs that are enqueued during
-- the scan get their virtual times from the new k.
local next_cursor, found = unpack(call('ZSCAN', set, cursor, 'COUNT', most))
for index = 1, #found, 2 do
  local place, score = found[index], tonumber(found[index + 1])
  local since, level, tenant, start_by =
    unpack(call('HMGET', records .. id_of(place), 'since', 'level', 'tenant', 'start_by'))
  local virtual = since and level and time_of_place(tonumber(since), tonumber(level), k, start_by)
  if virtual and virtual ~= score then
    if part == '' then
      call('ZADD', order, 'XX', virtual, place)
    elseif tenant then
      of.hold(tenant, place, virtual)
    end
  end
end
call('HINCRBY', notes, 'rescored', #found / 2)
if next_cursor == '0' then
  if part ~= '' or call('EXISTS', of.held) == 0 then
    return 1
  end
  part = 't'
end
call('HSET', notes, 'rescore_cursor', part .. next_cursor)
return 0
