-- Lists the in-flight table of a partition, oldest first. Takes type, index, how many. Answers
-- {position, sequence or '', envelope, ...}.
local function run(a)
  local found = {}
  local rows = call('ZRANGE', PREFIX .. 'shelved:' .. name_of(a[1], a[2]), 0, a[3] - 1, 'WITHSCORES')
  for at = 1, #rows, 2 do
    found[#found + 1] = whole(tonumber(rows[at + 1]))
    found[#found + 1] = call('HGET', job_at(rows[at]), 'sequence') or ''
    found[#found + 1] = call('HGET', ENVELOPES, rows[at])
  end
  return found
end
