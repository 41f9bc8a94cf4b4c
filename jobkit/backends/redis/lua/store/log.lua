-- Lists entries of a key's log. Takes type, key, after which position, how many. Answers the position before the first of
-- them, and {kind, data, job, sequence or '', token, when}...
local function run(a)
  local name = name_of(a[1], a[2])
  local trimmed = tonumber(call('HGET', key_at(name), 'trimmed') or '0')
  local first = math.max(tonumber(a[3]) - trimmed, 0)
  local answer = {whole(trimmed + first)}
  for _, entry in ipairs(call('LRANGE', PREFIX .. 'log:' .. name, first, first + a[4] - 1)) do
    answer[#answer + 1] = cmsgpack.unpack(entry)
  end
  return answer
end
