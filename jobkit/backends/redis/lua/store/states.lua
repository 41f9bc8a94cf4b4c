-- Takes ids. Answers the state of each job, or nil where it is not known.
local function run(a)
  local answer = {}
  for place, id in ipairs(a) do
    answer[place] = call('HGET', job_at(id), 'state')
  end
  return answer
end
