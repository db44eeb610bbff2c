-- Set how fast a queue ages. Jobs that wait already get new places from now on, by steps of `rescore`.
--
-- KEYS: k of each queue (a hash), the beat task's notes about the queue (a hash)
-- ARGV: the queue, k, 1 if an operator sets it (a k from the settings does not change that), now
-- Returns 1 if k has changed, otherwise 0.
local ks, notes = unpack(KEYS)
local queue, k, by_operator, now = unpack(ARGV)
local call = redis.call
-- An HDEL takes no memory, so a Redis that is full lets a script that starts with one go on.
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
