-- Returns a committed record. Takes type, key, name. Answers its value or nil.
local function run(a)
  return call('HGET', PREFIX .. 'records:' .. name_of(a[1], a[2]), a[3])
end
