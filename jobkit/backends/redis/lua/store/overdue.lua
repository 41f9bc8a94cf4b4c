-- Lists jobs that are due, those first that were due first. Takes how many. Answers rows.
local function run(a)
  local answer = {}
  for place, id in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', string.format('%.6f', NOW), 'LIMIT', 0, a[1])) do
    answer[place] = job_row(id)
  end
  return answer
end
