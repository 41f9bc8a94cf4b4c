-- Pauses a scope, unless it is. Takes its name, who did it and why, and how many pauses there may be.
-- Answers the pause that is there now, or nothing where there is no room for one.
local function run(a)
  local found = call('HGET', PREFIX .. 'pauses', a[1])
  if found or call('HLEN', PREFIX .. 'pauses') >= tonumber(a[3]) then
    return found
  end
  local pause = string.format('%.6f', NOW) .. ' ' .. a[2]
  call('HSET', PREFIX .. 'pauses', a[1], pause)
  return pause
end
