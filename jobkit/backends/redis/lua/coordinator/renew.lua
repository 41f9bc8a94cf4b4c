-- Extends each lease that is still held under its token and nonce.
-- Takes ttl in ms, then resource, token and nonce of each lease. Answers the places (from 1) of those kept.
local function run(a)
  local kept = {}
  for at = 2, #a, 3 do
    if is_held(a[at], a[at + 1], a[at + 2]) then
      call('PEXPIRE', lease_at(a[at]), a[1])
      kept[#kept + 1] = (at + 1) / 3
    end
  end
  return kept
end
