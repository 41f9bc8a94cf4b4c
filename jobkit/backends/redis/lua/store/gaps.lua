-- Lists keys that stand still, in order of their names. Takes type, key, and how many behind that, or '' for that one alone;
-- how many parked jobs of each are counted, and of how many it is asked when they came.
-- Answers {name, expected, first parked, how many, why the first is, since when any is}...

local function standing_still(a)
  local name = name_of(a[1], a[2])
  if a[3] == '' then
    return call('EXISTS', parked_at(name)) == 1 and {name} or {}
  end
  return call('ZRANGEBYLEX', GAPS, '(' .. name, '+', 'LIMIT', 0, a[3])
end

local function run(a)
  local answer = {}
  for _, name in ipairs(standing_still(a)) do
    local since, reason = math.huge, nil
    local places = call('ZRANGE', parked_at(name), 0, a[5] - 1)
    for _, place in ipairs(places) do
      local job = call('HMGET', job_at(place:sub(SEQUENCE_DIGITS + 1)), 'parked_at', 'parked_for')
      since = math.min(since, tonumber(job[1]))
      reason = reason or job[2]
    end
    local parked = math.min(call('ZCARD', parked_at(name)), tonumber(a[4]))
    answer[#answer + 1] = {
      name, whole(load_key(name).committed + 1), places[1]:sub(1, SEQUENCE_DIGITS), parked, reason,
      string.format('%.6f', since),
    }
  end
  return answer
end
