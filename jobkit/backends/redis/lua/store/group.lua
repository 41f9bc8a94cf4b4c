-- Returns a group, or nil. Takes its id.
local function run(a)
  return call('EXISTS', group_at(a[1])) == 1 and group_row(a[1])
end
