-- Keeps published types. Takes a name and what to keep of it, for each.
local function run(a)
  for at = 1, #a, 2 do
    call('HSET', PREFIX .. 'types', a[at], string.format('%.6f', NOW) .. ' ' .. a[at + 1])
  end
  return 1
end
