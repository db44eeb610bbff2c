-- End many waiting jobs, because their deadlines have passed or their queue is purged.
--
-- KEYS: the sorted set of the jobs (deadlines, or a queue's order or scheduled jobs), waiting jobs, running jobs,
--       jobs in the final state, deadlines, counters of rare events, metrics; then each queue's order and its
--       scheduled jobs
-- ARGV: now, the most jobs, the highest score to end ('+inf' for all), state, error, TTL of records in seconds,
--       Celery's result with two NUL characters in place of the id, the prefixes of records, results and unacked
--       deliveries, the metric of such ends, 1 if the sorted set has places, not ids
-- Returns how many jobs were looked at, how many were ended, and the ids of jobs in groups. Lua cannot fail their
--       chords, so the caller ends them. They stay in deadlines until then. On a purge they get a deadline in the
--       past, so that upkeep finds them.
--@include count
--@include order
--@include finish
local FIXED_KEYS = 7
local list, waiting, running, ended, deadlines, counts, metrics = unpack(KEYS, 1, FIXED_KEYS)
local now, most, highest, state, error_text, ttl_s, template, records, results, reserved, metric, has_places =
  unpack(ARGV)
local call = redis.call
local before, after = string.match(template, '^(.-)%z%z(.*)$')
local members = call('ZRANGEBYSCORE', list, '-inf', highest, 'LIMIT', 0, most)
local ended_count, others = 0, {}
local key = { waiting = waiting, running = running, ended = ended, deadlines = deadlines,
  orders = { unpack(KEYS, FIXED_KEYS + 1) } }
local ending = { state = state, now = now, items_failed = '0', error = error_text, ttl_s = ttl_s, op = '', items = 0,
  inputs = '', reserved = reserved, keeps_message = false }
for _, member in ipairs(members) do
  local id = has_places == '1' and id_of(member) or member
  local record = records .. id
  local found = call('HMGET', record, 'state', 'started_at', 'chord', 'op')
  if has_places == '1' or not found[3] then
    call('ZREM', list, member)
  end
  if found[3] then
    others[#others + 1] = id
    if state == 'cancelled' then
      call('HSET', record, 'cancelled_at', now)
      call('ZADD', deadlines, 0, id)
    end
  elseif found[4] == '' then
    call('DEL', record) -- a task that is not an operation, and that no worker has reserved
    ended_count = ended_count + 1
  elseif found[1] == 'waiting' and not (state == 'expired' and found[2]) then
    key.record, key.result = record, results .. id
    ending.id, ending.result = id, before .. id .. after
    finish(key, ending)
    ended_count = ended_count + 1
  end
end
if ended_count > 0 then
  count(metrics, metric, ended_count, counts)
end
return { #members, ended_count, others }
