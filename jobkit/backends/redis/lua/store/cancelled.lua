-- Tells which jobs were cancelled. Takes ids. Answers those.
local function run(a)
  local answer = {}
  for _, id in ipairs(a) do
    if call('HGET', job_at(id), 'state') == 'cancelled' then
      answer[#answer + 1] = id
    end
  end
  return answer
end
