-- Moves the first parked jobs of a key to the outbox, in order. Takes type, key. Answers how many.
local function run(a)
  local name = name_of(a[1], a[2])
  local released = release_next(name, math.huge, {})
  leave_untold(released)
  return #released
end
