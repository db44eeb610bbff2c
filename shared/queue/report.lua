-- Report the progress of a running job, and return 1 if the job was asked to end.
--
-- KEYS: the job's record (a hash)
-- ARGV: the part that is done, 0 to 1; '' if it is unknown
local record = unpack(KEYS)
local done = unpack(ARGV)
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
redis.call('HDEL', record, '')
if done ~= '' and redis.call('HGET', record, 'state') == 'running' then
  redis.call('HSET', record, 'progress', done)
end
return redis.call('HEXISTS', record, 'cancelled_at')
