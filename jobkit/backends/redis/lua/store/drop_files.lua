-- Has a key have no files any more, where it has just these and no job of it has yet to end. Takes type, key, the files as they are
-- kept. Answers whether that was done. The row stays for its time, so that a sweep knows what the bytes were of.
local function run(a)
  local row = key_at(name_of(a[1], a[2]))
  local found = call('HMGET', row, 'blobs', 'open')
  if found[1] ~= a[3] or tonumber(found[2] or '0') > 0 then
    return 0
  end
  call('HDEL', row, 'blobs')
  call('HSET', row, 'touched', MOMENT)
  return 1
end
