-- Strike a silent run off, unless it has beaten since or has taken something: else nobody would look at
-- what it holds.
--
-- KEYS: the runs, its sign of life, what it has reserved
-- ARGV: the run
if redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then
  redis.call('SREM', KEYS[1], ARGV[1])
end
