-- Lists jobs that run of some keys, the latest first, a page at a time. Takes the number below which to look or '+inf', how
-- many to look at, and type and key of each. Answers {the number below which to look next, or '' at the end, rows...}.
local function run(a)
  local wanted = {}
  for at = 3, #a, 2 do
    wanted[name_of(a[at], a[at + 1])] = true
  end
  local looked = call('ZREVRANGEBYSCORE', state_at('running'), '(' .. a[1], '-inf', 'WITHSCORES', 'LIMIT', 0, a[2])
  local answer = {#looked == 2 * a[2] and whole(tonumber(looked[#looked])) or ''}
  for at = 1, #looked, 2 do
    local job = call('HMGET', job_at(looked[at]), 'type', 'key')
    if wanted[name_of(job[1], job[2] or '')] then
      answer[#answer + 1] = job_row(looked[at])
    end
  end
  return answer
end
