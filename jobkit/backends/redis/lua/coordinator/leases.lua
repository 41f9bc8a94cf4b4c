-- Where leases are: one value for each, which expires as a whole; an index of their resources, in which some may have
-- expired already; and one counter of tokens for all, so that none has to be kept for a resource that is idle.
--   lease:RESOURCE      {owner, token, nonce, bucket and holder of each limit's use ...}, packed
--   leases              zset by resource, score 0
--   tokens              the highest token that was granted
local INDEX = PREFIX .. 'leases'
local TOKENS = PREFIX .. 'tokens'

local function lease_at(resource)
  return PREFIX .. 'lease:' .. resource
end

-- Returns owner, token and nonce of the lease on a resource, or nothing where it is free.
local function holder(resource)
  local lease = call('GET', lease_at(resource))
  if lease then
    return unpack(cmsgpack.unpack(lease))
  end
end

-- Returns the lease on a resource, if it is still held under this token and nonce.
local function held_lease(resource, token, nonce)
  local packed = call('GET', lease_at(resource))
  local lease = packed and cmsgpack.unpack(packed)
  return lease and lease[2] == token and lease[3] == nonce and lease
end

-- What a wait for a resource listens to; the store's topics are others.
local function topic_of(resource)
  return 'lease/' .. resource
end

-- Answers {resource, owner, token, remaining ms, ...} of the live leases among resources; forgets the others.
local function standing(resources)
  local found = {}
  for _, resource in ipairs(resources) do
    local owner, token = holder(resource)
    if owner then
      local place = #found
      found[place + 1], found[place + 2], found[place + 3] = resource, owner, token
      found[place + 4] = call('PTTL', lease_at(resource))
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
