-- Lists what people have done, the latest first. Takes the number below which to look, or '', and how many to find.
-- Answers {number, time, what is said}...
local function run(a)
  local highest = tonumber(call('HGET', STORE, 'actions') or '0')
  local from = math.min(highest, a[1] == '' and highest or tonumber(a[1]) - 1)
  local answer = {}
  for number = from, math.max(1, from - tonumber(a[2]) + 1), -1 do
    local row = call('HGET', PREFIX .. 'audit', number)
    if not row then
      break
    end
    local space = row:find(' ', 1, true)
    answer[#answer + 1] = {whole(number), row:sub(1, space - 1), row:sub(space + 1)}
  end
  return answer
end
