-- Drops the first entries of a key's log up to a position, those that are old enough. Takes type, key, that position, seconds,
-- how many at most. Answers how many went.
local function run(a)
  local name = name_of(a[1], a[2])
  local trimmed = tonumber(call('HGET', key_at(name), 'trimmed') or '0')
  local most = math.min(tonumber(a[3]) - trimmed, tonumber(a[5]))
  local going = 0
  for _, entry in ipairs(most > 0 and call('LRANGE', PREFIX .. 'log:' .. name, 0, most - 1) or {}) do
    if tonumber(cmsgpack.unpack(entry)[6]) > NOW - a[4] then
      break
    end
    going = going + 1
  end
  if going > 0 then
    call('HSET', key_at(name), 'trimmed', whole(trimmed + going))
    call('LTRIM', PREFIX .. 'log:' .. name, going, -1)
  end
  return going
end
