-- Notes that a worker goes by a coordinator just now. Takes its identity, and for how long such are kept.
local function run(a)
  call('ZREMRANGEBYSCORE', PREFIX .. 'coordinators', '-inf', MOMENT - a[2])
  call('ZADD', PREFIX .. 'coordinators', MOMENT, a[1])
  return 1
end
