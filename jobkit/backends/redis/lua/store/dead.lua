-- Lists dead letters above a number, lowest first, a page at a time. Takes type or NONE, number, how many to look at.
-- Answers {the number above which to look next, or '' at the end, rows...}.
local function run(a)
  local looked = call('ZRANGEBYSCORE', DEAD, '(' .. a[2], '+inf', 'LIMIT', 0, a[3])
  local answer = {#looked == tonumber(a[3]) and looked[#looked] or ''}
  for _, number in ipairs(looked) do
    if a[1] == NONE or call('HGET', letter_at(number), 'type') == a[1] then
      answer[#answer + 1] = letter_row(number)
    end
  end
  return answer
end
