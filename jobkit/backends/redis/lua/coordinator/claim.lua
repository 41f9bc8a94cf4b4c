-- Leases a resource where it is free, under a token above the floor and above all earlier ones.
-- Takes resource, owner, nonce, ttl in ms, floor. Answers {1, token} or {0, owner, token, remaining ms}.
local function run(a)
  local resource, owner, nonce, ttl, floor = unpack(a)
  local held_by, token, held_nonce = holder(resource)
  if held_by then
    if held_nonce == nonce then
      return {1, token}
    end
    return {0, held_by, token, call('PTTL', lease_at(resource))}
  end
  local highest = tonumber(call('GET', TOKENS) or '0')
  token = string.format('%.0f', math.max(highest, tonumber(floor)) + 1)
  call('SET', TOKENS, token)
  -- In one command, so that there is never a lease without an end.
  call('SET', lease_at(resource), cmsgpack.pack({owner, token, nonce}), 'PX', ttl)
  call('ZADD', INDEX, 0, resource)
  return {1, token}
end
