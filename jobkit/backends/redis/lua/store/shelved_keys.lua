-- Lists the keys that have jobs in the in-flight table of a partition. Takes type, index, a key to begin behind, how many.
local function run(a)
  local listed = PREFIX .. 'shelved keys:' .. name_of(a[1], a[2])
  return call('ZRANGEBYLEX', listed, '(' .. a[3], '+', 'LIMIT', 0, a[4])
end
