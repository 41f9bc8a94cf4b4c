-- Ends jobs that were to have begun by now and have not, those first whose time was over first. Takes how many. Answers
-- {id, type}...
local function run(a)
  local answer = {}
  for place, id in ipairs(call('ZRANGEBYSCORE', EXPIRING, '-inf', string.format('%.6f', NOW), 'LIMIT', 0, a[1])) do
    local job = load_job(id)
    expire(job)
    answer[place] = {id, job.type}
  end
  return answer
end
