-- Leases a resource where it is free, under a token above the floor and above all earlier ones.
-- Takes resource, owner, nonce, ttl in ms, floor. Answers {1, token} or {0, owner, token, remaining ms}.
local function run(a)
  local resource, owner, nonce, ttl, floor = unpack(a)
  local lease = lease_of(resource)
  local held = call('HMGET', lease, 'owner', 'token', 'nonce')
  if held[1] then
    if held[3] == nonce then
      return {1, held[2]}
    end
    return {0, held[1], held[2], call('PTTL', lease)}
  end
  local highest = tonumber(call('GET', TOKENS) or '0')
  local token = string.format('%.0f', math.max(highest, tonumber(floor)) + 1)
  call('SET', TOKENS, token)
  call('HSET', lease, 'owner', owner, 'token', token, 'nonce', nonce)
  call('PEXPIRE', lease, ttl)
  call('ZADD', INDEX, 0, resource)
  return {1, token}
end
