-- Ends jobs that have yet to end and are in some states, and has their keys go on. Takes who cancels, why, the states with a
-- space on either side of each, ids. Answers for each {state, '1' where
-- it was ended here and now or '', result or nil}, or {} where it is not known.
local function run(a)
  local answer = {}
  for place = 4, #a do
    local job = load_job(a[place])
    if not job then
      answer[#answer + 1] = {}
    elseif has_ended(job) or not a[3]:find(' ' .. job.state .. ' ', 1, true) then
      answer[#answer + 1] = {job.state, '', call('HGET', job_at(job.id), 'result')}
    else
      end_early(job, 'cancelled', a[1], a[2])
      answer[#answer + 1] = {job.state, '1'}
    end
  end
  return answer
end
