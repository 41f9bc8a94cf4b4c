-- Where leases are: a hash for each, which expires as a whole; an index of their resources, in which some may have
-- expired already; and one counter of tokens for all, so that none has to be kept for a resource that is idle.
local INDEX = PREFIX .. 'leases'
local TOKENS = PREFIX .. 'tokens'

local function lease_of(resource)
  return PREFIX .. 'lease:' .. resource
end

-- Answers {resource, owner, token, remaining ms, ...} of the live leases among resources; forgets the others.
local function standing(resources)
  local found = {}
  for _, resource in ipairs(resources) do
    local lease = lease_of(resource)
    local held = call('HMGET', lease, 'owner', 'token')
    if held[1] then
      local place = #found
      found[place + 1], found[place + 2], found[place + 3] = resource, held[1], held[2]
      found[place + 4] = call('PTTL', lease)
    else
      call('ZREM', INDEX, resource)
    end
  end
  return found
end

-- Returns the resources that start with a prefix, in order.
local function below(prefix)
  if prefix == '' then
    return call('ZRANGE', INDEX, 0, -1)
  end
  return call('ZRANGEBYLEX', INDEX, '[' .. prefix, '(' .. prefix .. '\255')
end
