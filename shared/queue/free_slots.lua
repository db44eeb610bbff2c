-- Drop ids of jobs that do not run from a tenant's running jobs, in a bounded step. They are there if somebody has
-- deleted a running job's record, and count towards the limit of the tenant.
--
-- KEYS: the tenant's running jobs (a set)
-- ARGV: the cursor of an SSCAN of them, about how many to look at, the prefix of records
-- Returns the next cursor, and how many were dropped.
local running = unpack(KEYS)
local cursor, most, records = unpack(ARGV)
local call = redis.call
-- Start with an SREM, which needs no memory: after it, even a full Redis runs the rest of the script.
call('SREM', running, '')
local next_cursor, ids = unpack(call('SSCAN', running, cursor, 'COUNT', most))
local dropped = 0
for _, id in ipairs(ids) do
  if call('HGET', records .. id, 'state') ~= 'running' then
    dropped = dropped + call('SREM', running, id)
  end
end
return { next_cursor, dropped }
