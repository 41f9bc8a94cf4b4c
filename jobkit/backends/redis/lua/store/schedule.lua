-- Takes a name. Answers the schedule, or nothing.
local function run(a)
  return call('EXISTS', schedule_at(a[1])) == 1 and schedule_row(a[1]) or false
end
