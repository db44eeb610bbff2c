-- Jobs that have come since upkeep last looked, by level and tenant, in `PREFIX:arrived:QUEUE`. The field `gone`
-- counts jobs that ended before they ran. Upkeep takes the counts every second. They predict waits, and nothing
-- else depends on them.

-- Without upkeep, nobody takes the counts. They are dropped if they have become so many.
local MOST_ARRIVED = 2000

local function count_arrived(order, field)
  local key = string.gsub(order, 'order:', 'arrived:', 1)
  if redis.pcall('HINCRBY', key, field, 1) == 1 then
    -- Producers whose rights are of an older version may not ask.
    local count = tonumber(redis.pcall('HLEN', key))
    if count and count > MOST_ARRIVED then
      redis.call('DEL', key)
    end
  end
end
