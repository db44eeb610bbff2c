-- The states of jobs, in the order of their records; an empty string for an unknown job.
--
-- KEYS: the jobs' records
local states = {}
for index, record in ipairs(KEYS) do
  states[index] = redis.call('HGET', record, 'state') or ''
end
return states
