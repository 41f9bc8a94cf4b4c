-- Returns where to go on, '0' at the end, and then the files of some steps of a key's jobs. Takes type, key, where to go on
-- from, about how many steps to look at.
local function run(a)
  local found = call('HSCAN', PREFIX .. 'step files:' .. name_of(a[1], a[2]), a[3], 'COUNT', a[4])
  local answer = {found[1]}
  for place = 2, #found[2], 2 do
    answer[#answer + 1] = found[2][place]
  end
  return answer
end
