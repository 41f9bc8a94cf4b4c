-- Lists the live workers, and forgets those that are not. Answers {owner, types, ...}.
local MEMBERS = PREFIX .. 'members'
local TYPES = PREFIX .. 'types'

local function members()
  for _, gone in ipairs(call('ZRANGEBYSCORE', MEMBERS, '-inf', NOW * 1000)) do
    call('ZREM', MEMBERS, gone)
    call('HDEL', TYPES, gone)
  end
  local found = {}
  for _, owner in ipairs(call('ZRANGE', MEMBERS, 0, -1)) do
    found[#found + 1] = owner
    found[#found + 1] = call('HGET', TYPES, owner)
  end
  return found
end
