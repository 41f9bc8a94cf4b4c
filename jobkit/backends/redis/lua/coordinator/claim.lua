-- Leases a resource where it is free, under a token above the floor and above all earlier ones, with its limits.
-- Takes resource, owner, nonce, ttl in ms, floor, then of each limit bucket, count, and for how many ms a start counts
-- or 0. Answers {1, token}, {0, owner, token, remaining ms}, or {2, place of the limit (from 1), remaining ms}.
local function run(a)
  local resource, owner, nonce, ttl, floor = unpack(a, 1, 5)
  local held_by, token, held_nonce = holder(resource)
  if held_by then
    if held_nonce == nonce then
      return {1, token}
    end
    return {0, held_by, token, call('PTTL', lease_at(resource))}
  end
  for at = 6, #a, 3 do
    local used, ends_in = used_of(a[at])
    if used >= tonumber(a[at + 1]) then
      return {2, (at - 3) / 3, ends_in}
    end
  end
  local highest = tonumber(call('GET', TOKENS) or '0')
  token = string.format('%.0f', math.max(highest, tonumber(floor)) + 1)
  call('SET', TOKENS, token)
  local lease = {owner, token, nonce}
  for at = 6, #a, 3 do
    local starts = a[at + 2] ~= '0'
    lease[#lease + 1] = a[at]
    lease[#lease + 1] = starts and nonce or resource
    use(a[at], starts and nonce or resource, starts and a[at + 2] or ttl)
    call('ZADD', LIMITS, 0, a[at])
    call('HSET', TERMS, a[at], cmsgpack.pack({a[at + 1], a[at + 2]}))
  end
  -- In one command, so that there is never a lease without an end.
  call('SET', lease_at(resource), cmsgpack.pack(lease), 'PX', ttl)
  call('ZADD', INDEX, 0, resource)
  return {1, token}
end
