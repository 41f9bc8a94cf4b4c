-- Writes records of a key outside of any job: what is derived from its log. Takes type, key, token, nonce, owner, the
-- log's length, and names and values. Answers {'stale', mark}, {'amended'}, or {'grown'} where the log is not as long
-- or there is no such key; then no record is written.
local function run(a)
  local name = name_of(a[1], a[2])
  local key = load_key(name)
  if not key.exists then
    return {'grown'}
  end
  if not is_mark(key, a[3], a[4]) then
    if tonumber(a[3]) <= tonumber(key.mark) then
      return {'stale', key.mark}
    end
    save_key(key, 'token', a[3], 'nonce', a[4], 'owner', a[5])
  end
  if key.entries ~= tonumber(a[6]) then
    return {'grown'}
  end
  for at = 7, #a, 2 do
    call('HSET', PREFIX .. 'records:' .. name, a[at], a[at + 1])
  end
  return {'amended'}
end
