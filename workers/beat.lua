-- Say that a run of a worker lives.
--
-- KEYS: the key that says so, the runs of workers (a set)
-- ARGV: seconds that it says so, the run
--
-- EXPIRE takes no memory, so a Redis that is full lets a script that starts with it go on: workers
-- do not pass for dead while nothing can be written.
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SET', KEYS[1], 1, 'EX', ARGV[1])
