-- Takes names, or none for all. Answers names of published types, each followed by what is kept of it.
local function run(a)
  if #a == 0 then
    return call('HGETALL', PREFIX .. 'types')
  end
  local answer = {}
  for _, name in ipairs(a) do
    local kept = call('HGET', PREFIX .. 'types', name)
    if kept then
      answer[#answer + 1] = name
      answer[#answer + 1] = kept
    end
  end
  return answer
end
