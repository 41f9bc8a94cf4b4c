-- Lists the dead letters of a job, lowest number first. Takes its id, and how many at most. Answers rows.
local function run(a)
  local answer = {}
  for _, number in ipairs(call('ZRANGE', letters_of(a[1]), 0, a[2] - 1)) do
    answer[#answer + 1] = letter_row(number)
  end
  return answer
end
