-- Has a live worker asked to end. Takes owner. Answers whether it is alive.
local function run(a)
  return is_live(a[1]) and call('SADD', DISMISSED, a[1]) >= 0
end
