-- Stops counting a worker as live. Takes owner.
local function run(a)
  call('ZREM', MEMBERS, a[1])
  call('SREM', DISMISSED, a[1])
  return call('HDEL', TOLD, a[1])
end
