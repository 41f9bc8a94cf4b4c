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

-- Returns the partitions that are assigned to each owner.
local function assigned()
  local found, all = {}, call('HGETALL', ASSIGNED)
  for at = 1, #all, 2 do
    local owner = all[at + 1]
    found[owner] = found[owner] or {}
    table.insert(found[owner], all[at])
  end
  return found
end

-- Forgets workers, with what people asked of them.
local function forget(owners)
  local partitions = #owners > 0 and assigned()
  for _, owner in ipairs(owners) do
    call('ZREM', MEMBERS, owner)
    call('HDEL', TOLD, owner)
    call('SREM', DISMISSED, owner)
    for _, partition in ipairs(partitions[owner] or {}) do
      call('HDEL', ASSIGNED, partition)
    end
  end
end

local function forget_gone()
  forget(call('ZRANGEBYSCORE', MEMBERS, '-inf', NOW * 1000))
end

local function members()
  forget_gone()
  local found, partitions = {}, assigned()
  for _, owner in ipairs(call('ZRANGE', MEMBERS, 0, -1)) do
    found[#found + 1] = owner
    found[#found + 1] = call('HGET', TOLD, owner)
    found[#found + 1] = call('SISMEMBER', DISMISSED, owner) == 1 and '1' or ''
    found[#found + 1] = partitions[owner] or {}
  end
  return found
end
