-- Has the next change of each job heard. Takes for how many ms, and ids. Answers for each what changes when it ends or
-- progresses.
local function run(a)
  local answer = {}
  for place = 2, #a do
    listen('job/' .. a[place], a[1])
    answer[place - 1] = call('HMGET', job_at(a[place]), 'state', 'progress', 'message', 'failed')
  end
  return answer
end
