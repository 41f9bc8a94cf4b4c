-- Lists the in-flight table of a partition, oldest first. Takes type, index, how many. Answers
-- {position, envelope, ...}.
local function run(a)
  local found = {}
  local rows = call('ZRANGE', PREFIX .. 'shelved:' .. name_of(a[1], a[2]), 0, a[3] - 1, 'WITHSCORES')
  for at = 1, #rows, 2 do
    found[at] = whole(tonumber(rows[at + 1]))
    found[at + 1] = call('HGET', PREFIX .. 'envelopes', rows[at])
  end
  return found
end
