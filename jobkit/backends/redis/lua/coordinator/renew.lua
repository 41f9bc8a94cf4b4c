-- Extends each lease that is still held under its token and nonce, with the limits that it has.
-- Takes ttl in ms, then resource, token and nonce of each lease. Answers the places (from 1) of those kept.
local function run(a)
  local kept = {}
  for at = 2, #a, 3 do
    local lease = held_lease(a[at], a[at + 1], a[at + 2])
    if lease then
      call('PEXPIRE', lease_at(a[at]), a[1])
      for place = 4, #lease, 2 do
        if lease[place + 1] == a[at] then
          use(lease[place], a[at], a[1])
        end
      end
      kept[#kept + 1] = (at + 1) / 3
    end
  end
  return kept
end
