-- Takes ids. Answers the rows of those jobs that are known, as `job_row` makes them.
local function run(a)
  local answer = {}
  for _, id in ipairs(a) do
    if call('EXISTS', job_at(id)) == 1 then
      answer[#answer + 1] = job_row(id)
    end
  end
  return answer
end
