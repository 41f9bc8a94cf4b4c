-- Has a live worker asked to lead a partition. Takes partition, owner. Answers whether it is alive.
local function run(a)
  return is_live(a[2]) and call('HSET', ASSIGNED, a[1], a[2]) >= 0
end
