-- Ends the pause of a scope. Takes its name, answers the pause that there was.
local function run(a)
  local found = call('HGET', PREFIX .. 'pauses', a[1])
  call('HDEL', PREFIX .. 'pauses', a[1])
  return found
end
