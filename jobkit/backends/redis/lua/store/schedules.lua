-- Takes a name and how many. Answers the schedules above that name, in order.
local function run(a)
  local answer = {}
  for place, name in ipairs(call('ZRANGEBYLEX', SCHEDULES, '(' .. a[1], '+', 'LIMIT', 0, a[2])) do
    answer[place] = schedule_row(name)
  end
  return answer
end
