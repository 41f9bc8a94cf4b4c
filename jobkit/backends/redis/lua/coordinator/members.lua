-- Lists the live workers, and forgets those that are not. Answers {owner, what it told, ...}.
local MEMBERS = PREFIX .. 'members'
local TOLD = PREFIX .. 'told'

local function members()
  for _, gone in ipairs(call('ZRANGEBYSCORE', MEMBERS, '-inf', NOW * 1000)) do
    call('ZREM', MEMBERS, gone)
    call('HDEL', TOLD, gone)
  end
  local found = {}
  for _, owner in ipairs(call('ZRANGE', MEMBERS, 0, -1)) do
    found[#found + 1] = owner
    found[#found + 1] = call('HGET', TOLD, owner)
  end
  return found
end
