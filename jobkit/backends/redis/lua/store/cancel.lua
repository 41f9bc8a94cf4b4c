-- Ends jobs that have yet to end, and has their keys go on. Takes who cancels, why, ids. Answers for each {state, '1' where
-- it was ended here and now or '', result or nil}, or {} where it is not known.
local function run(a)
  local answer = {}
  for place = 3, #a do
    local job = load_job(a[place])
    if not job then
      answer[#answer + 1] = {}
    elseif has_ended(job) then
      answer[#answer + 1] = {job.state, '', call('HGET', job_at(job.id), 'result')}
    else
      end_early(job, 'cancelled', a[1], a[2])
      answer[#answer + 1] = {job.state, '1'}
    end
  end
  return answer
end
