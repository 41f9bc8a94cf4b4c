-- Lists what was noted as waiting. Answers {owner, what it told, ...}.
local function run()
  local index = PREFIX .. 'waiting'
  call('ZREMRANGEBYSCORE', index, '-inf', NOW * 1000)
  local found = {}
  for _, owner in ipairs(call('ZRANGE', index, 0, -1)) do
    local told = call('GET', PREFIX .. 'waiting:' .. owner)
    if told then
      found[#found + 1] = owner
      found[#found + 1] = told
    end
  end
  return found
end
