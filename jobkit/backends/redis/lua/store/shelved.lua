-- Lists the in-flight table of a partition, oldest first. Takes type, index, how many, a position to begin behind, and a
-- key, or NONE for all. Answers {position, sequence or '', envelope, ...}.
local function run(a)
  local found = {}
  local listed = PREFIX .. 'shelved:' .. name_of(a[1], a[2]) .. (a[5] == NONE and '' or '\0' .. a[5])
  local rows = call('ZRANGEBYSCORE', listed, '(' .. a[4], '+inf', 'WITHSCORES', 'LIMIT', 0, a[3])
  for at = 1, #rows, 2 do
    found[#found + 1] = whole(tonumber(rows[at + 1]))
    found[#found + 1] = call('HGET', job_at(rows[at]), 'sequence') or ''
    found[#found + 1] = call('HGET', ENVELOPES, rows[at])
  end
  return found
end
