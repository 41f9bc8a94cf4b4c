-- Counts the jobs of types that wait for a place of their tenants'. Takes types. Answers a number for each.
local function run(a)
  local answer = {}
  for place, count in ipairs(call('HMGET', PLACES_AWAITED, unpack(a))) do
    answer[place] = tonumber(count or '0')
  end
  return answer
end
