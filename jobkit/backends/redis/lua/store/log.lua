-- Lists entries of a key's log. Takes type, key, after which position, how many. Answers
-- {kind, data, job, sequence or '', token, when}...
local function run(a)
  local answer = {}
  for _, entry in ipairs(call('LRANGE', PREFIX .. 'log:' .. name_of(a[1], a[2]), a[3], a[3] + a[4] - 1)) do
    answer[#answer + 1] = cmsgpack.unpack(entry)
  end
  return answer
end
