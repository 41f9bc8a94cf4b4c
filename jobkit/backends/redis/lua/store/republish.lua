-- Puts jobs into the outbox again that nothing here brings to a worker, in order. Takes ids. Answers which.
local function run(a)
  local lost = {}
  for _, id in ipairs(a) do
    local job = load_job(id)
    if job and (job.state == 'queued' or job.state == 'running') and call('HEXISTS', PREFIX .. 'shelved', id) == 0 then
      local entry = (call('HGET', job_at(id), 'entry') or job.number) .. '-0'
      if #call('XRANGE', OUTBOX, entry, entry) == 0 then
        lost[#lost + 1] = job
      end
    end
  end
  table.sort(lost, function(one, other) return tonumber(one.number) < tonumber(other.number) end)
  local answer = {}
  for place, job in ipairs(lost) do
    leave_untold({{publish(job)}})
    answer[place] = job.id
  end
  return answer
end
