-- Lists groups, those with the highest ids first. Takes where to begin, '+' or '(' and an id, and how many. Answers rows.
local function run(a)
  local answer = {}
  for place, id in ipairs(call('ZREVRANGEBYLEX', GROUPS, a[1], '-', 'LIMIT', 0, a[2])) do
    answer[place] = group_row(id)
  end
  return answer
end
