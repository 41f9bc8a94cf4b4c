-- Returns one key as `key_row` does, or nil where it has no row. Takes type, key.
local function run(a)
  local name = name_of(a[1], a[2])
  return call('HEXISTS', key_at(name), 'touched') == 1 and key_row(name)
end
