-- Takes how many. Answers the time, and schedules that are due, those first that were due first.
local function run(a)
  local now = string.format('%.6f', NOW)
  local answer = {now}
  for place, name in ipairs(call('ZRANGEBYSCORE', SCHEDULES_DUE, '-inf', now, 'LIMIT', 0, a[1])) do
    answer[place + 1] = schedule_row(name)
  end
  return answer
end
