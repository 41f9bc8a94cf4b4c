-- Lists ids of jobs in a state, the latest first, a page at a time. Takes type, key or NONE, state, the number below which to
-- look or '+inf', how many to look at. Answers {the number below which to look next, or '' at the end, ids...}.
local function run(a)
  local looked = call('ZREVRANGEBYSCORE', state_at(a[3]), '(' .. a[4], '-inf', 'WITHSCORES', 'LIMIT', 0, a[5])
  local answer = {''}
  for at = 1, #looked, 2 do
    local job = call('HMGET', job_at(looked[at]), 'type', 'key')
    if job[1] == a[1] and (a[2] == NONE or job[2] == a[2]) then
      answer[#answer + 1] = looked[at]
    end
    answer[1] = whole(tonumber(looked[at + 1]))
  end
  if #looked < 2 * a[5] then
    answer[1] = ''
  end
  return answer
end
