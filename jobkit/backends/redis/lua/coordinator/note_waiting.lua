-- Notes what waits at a worker, for a while. Takes owner, what it tells, ttl in ms.
local function run(a)
  call('SET', PREFIX .. 'waiting:' .. a[1], a[2], 'PX', a[3])
  return call('ZADD', PREFIX .. 'waiting', NOW * 1000 + a[3], a[1])
end
