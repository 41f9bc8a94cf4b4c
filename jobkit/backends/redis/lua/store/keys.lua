-- Lists keys in order of their names, a page at a time. Takes the type and key after which to look, how many.
-- Answers rows.
local function run(a)
  local answer = {}
  for _, name in ipairs(call('ZRANGEBYLEX', NAMES, '(' .. name_of(a[1], a[2]), '+', 'LIMIT', 0, a[3])) do
    answer[#answer + 1] = key_row(name)
  end
  return answer
end
