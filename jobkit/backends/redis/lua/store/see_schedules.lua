-- Notes that schedules are wanted. Takes their names; answers which of them there are.
local function run(a)
  local answer = {}
  for _, name in ipairs(a) do
    if call('EXISTS', schedule_at(name)) == 1 then
      call('HSET', schedule_at(name), 'seen', string.format('%.6f', NOW))
      answer[#answer + 1] = name
    end
  end
  return answer
end
