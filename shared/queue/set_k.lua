-- Set k of a queue. If it changes, steps of `rescore` move the jobs that already wait.
--
-- KEYS: k of each queue (a hash), the beat task's notes about the queue (a hash)
-- ARGV: the queue, k, 1 if an operator sets it, now. A k from the settings does not replace an operator's.
-- Returns 1 if k has changed, otherwise 0.
local ks, notes = unpack(KEYS)
local queue, k, by_operator, now = unpack(ARGV)
local call = redis.call
-- Start with an HDEL, which needs no memory: after it, even a full Redis runs the rest of the script.
call('HDEL', notes, '')
if by_operator == '1' then
  call('HSET', ks, queue .. ':set', 1)
elseif call('HEXISTS', ks, queue .. ':set') == 1 then
  return 0
end
local before = call('HGET', ks, queue)
if before and tonumber(before) == tonumber(k) then
  return 0
end
call('HSET', ks, queue, k)
call('HSET', notes, 'k_since', now, 'rescore_cursor', 0, 'rescored', 0)
return 1
