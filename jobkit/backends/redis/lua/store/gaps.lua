-- Lists keys that stand still, in order of their names, a page at a time. Takes the name after which to look, how many.
-- Answers {name, expected, first parked, how many, why the first is, since when any is}...
-- Of so many parked jobs of a key it is asked when they came: there may be any number of them, and those that come later
-- in its order nearly always came later.
local LOOKED_AT = 20

local function run(a)
  local answer = {}
  for _, name in ipairs(call('ZRANGEBYLEX', GAPS, '(' .. a[1], '+', 'LIMIT', 0, a[2])) do
    local since, reason = math.huge, nil
    local places = call('ZRANGE', parked_at(name), 0, LOOKED_AT - 1)
    for _, place in ipairs(places) do
      local job = call('HMGET', job_at(place:sub(SEQUENCE_DIGITS + 1)), 'parked_at', 'parked_for')
      since = math.min(since, tonumber(job[1]))
      reason = reason or job[2]
    end
    local first = places[1]:sub(1, SEQUENCE_DIGITS)
    answer[#answer + 1] = {
      name, whole(load_key(name).committed + 1), first, call('ZCARD', parked_at(name)), reason,
      string.format('%.6f', since),
    }
  end
  return answer
end
