-- Lists jobs that match, the latest first, a page at a time. Takes type or NONE, key or NONE, state or '', the number
-- below which to look or '+inf', how many to look at, how many to find. Answers {the number below which to look next,
-- or '' at the end, rows...}.
local function run(a)
  local type, key, state = a[1], a[2], a[3]
  local index = (state == '' or state == 'committed') and JOBS or state_at(state)
  local looked = call('ZREVRANGEBYSCORE', index, '(' .. a[4], '-inf', 'WITHSCORES', 'LIMIT', 0, a[5])
  local answer = {''}
  for at = 1, #looked, 2 do
    local job = call('HMGET', job_at(looked[at]), 'type', 'key', 'state')
    if (type == NONE or job[1] == type) and (key == NONE or job[2] == key) and (state == '' or job[3] == state) then
      answer[#answer + 1] = job_row(looked[at])
    end
    answer[1] = looked[at + 1]
    if #answer > tonumber(a[6]) then
      return answer
    end
  end
  if #looked < 2 * a[5] then
    answer[1] = ''
  end
  return answer
end
