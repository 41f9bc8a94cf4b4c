-- Drops the first entries of a key's log up to a position, those that are old enough. Takes type, key, that position, seconds,
-- how many at most. Answers how many went: of large ones fewer, since nobody else is served meanwhile.
local PAGE, BYTES = 10, 1000000

local function run(a)
  local name = name_of(a[1], a[2])
  local log = PREFIX .. 'log:' .. name
  local trimmed = tonumber(call('HGET', key_at(name), 'trimmed') or '0')
  local most = math.min(tonumber(a[3]) - trimmed, tonumber(a[5]))
  local going, read, goes_on = 0, 0, true
  while goes_on and going < most and read < BYTES do
    local page = call('LRANGE', log, going, math.min(going + PAGE, most) - 1)
    goes_on = #page == PAGE
    for _, entry in ipairs(page) do
      if tonumber(cmsgpack.unpack(entry)[6]) > NOW - a[4] then
        goes_on = false
        break
      end
      going, read = going + 1, read + #entry
    end
  end
  if going > 0 then
    call('HSET', key_at(name), 'trimmed', whole(trimmed + going))
    call('LTRIM', log, going, -1)
  end
  return going
end
