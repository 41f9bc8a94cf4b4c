-- Lists the groups that the commit of a job made, above an id, in order. Takes its id, that one, how many. Answers rows.
local function run(a)
  local answer = {}
  for place, id in ipairs(call('ZRANGEBYLEX', PREFIX .. 'groups of:' .. a[1], '(' .. a[2], '+', 'LIMIT', 0, a[3])) do
    answer[place] = group_row(id)
  end
  return answer
end
