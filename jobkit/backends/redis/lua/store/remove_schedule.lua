-- Takes name and revision. Answers 1 where the schedule was there in that revision, and is gone now, else 0.
local function run(a)
  if call('HGET', schedule_at(a[1]), 'revision') ~= a[2] then
    return 0
  end
  call('ZREM', SCHEDULES, a[1])
  call('ZREM', SCHEDULES_DUE, a[1])
  return call('DEL', schedule_at(a[1]))
end
