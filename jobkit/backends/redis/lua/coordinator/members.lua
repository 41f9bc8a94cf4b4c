-- Lists the live workers, and forgets those that are not, with what people asked of them. Answers {owner, what it told,
-- '1' where it is dismissed or '', {partitions assigned to it...}, ...}.
local MEMBERS = PREFIX .. 'members'
local TOLD = PREFIX .. 'told'
-- set: owners that are to end; hash by "TYPE\0INDEX": who is to lead that partition.
local DISMISSED = PREFIX .. 'dismissed'
local ASSIGNED = PREFIX .. 'assigned'

local function is_live(owner)
  local ends = call('ZSCORE', MEMBERS, owner)
  return ends and tonumber(ends) > NOW * 1000
end

-- Returns the partitions that are assigned to each of those that are live.
local function assigned()
  local found, all = {}, call('HGETALL', ASSIGNED)
  for at = 1, #all, 2 do
    local owner = all[at + 1]
    if is_live(owner) then
      found[owner] = found[owner] or {}
      table.insert(found[owner], all[at])
    else
      call('HDEL', ASSIGNED, all[at])
    end
  end
  return found
end

local function members()
  for _, gone in ipairs(call('ZRANGEBYSCORE', MEMBERS, '-inf', NOW * 1000)) do
    call('ZREM', MEMBERS, gone)
    call('HDEL', TOLD, gone)
    call('SREM', DISMISSED, gone)
  end
  local found, partitions = {}, assigned()
  for _, owner in ipairs(call('ZRANGE', MEMBERS, 0, -1)) do
    found[#found + 1] = owner
    found[#found + 1] = call('HGET', TOLD, owner)
    found[#found + 1] = call('SISMEMBER', DISMISSED, owner) == 1 and '1' or ''
    found[#found + 1] = partitions[owner] or {}
  end
  return found
end
