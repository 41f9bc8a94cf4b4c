-- Ends jobs that have yet to end, and has their keys go on. Takes who cancels, why, ids. Answers for each {state, '1' where
-- it was ended here and now or '', result or nil}, or {} where it is not known.
local function cancel(job, by, reason)
  call('ZREM', DUE, job.id)
  move(job, 'cancelled', 'finished_at', MOMENT, 'ended_by', by, 'reason', reason)
  settle(job)
  count_open(job, -1)
  leave(job)
  -- Beyond what is given out a number cannot be told from the next, and nobody waits behind it.
  if job.key and job.sequence and tonumber(job.sequence) <= HIGHEST_GIVEN then
    give_up(load_key(name_of(job.type, job.key)), tonumber(job.sequence), tonumber(job.sequence))
  end
end

local function run(a)
  local answer = {}
  for place = 3, #a do
    local job = load_job(a[place])
    if not job then
      answer[#answer + 1] = {}
    elseif has_ended(job) then
      answer[#answer + 1] = {job.state, '', call('HGET', job_at(job.id), 'result')}
    else
      cancel(job, a[1], a[2])
      answer[#answer + 1] = {job.state, '1'}
    end
  end
  return answer
end
