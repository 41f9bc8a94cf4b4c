-- Stops counting a worker as live. Takes owner.
local function run(a)
  forget({a[1]})
  return 1
end
