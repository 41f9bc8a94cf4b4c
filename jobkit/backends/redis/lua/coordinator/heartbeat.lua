-- Counts a worker as live for a while. Takes owner, what it tells, ttl in ms. Answers as `members` does.
-- How many entries of each index are looked at on the way, so that those of workers that died do not pile up in it.
local SWEPT = 50

local function run(a)
  -- First: one that comes back after it counted as gone is asked nothing any more.
  forget_gone()
  call('ZADD', MEMBERS, NOW * 1000 + a[3], a[1])
  call('HSET', TOLD, a[1], a[2])
  standing(call('ZRANDMEMBER', INDEX, SWEPT))
  forget_idle(call('ZRANDMEMBER', LIMITS, SWEPT))
  return members()
end
