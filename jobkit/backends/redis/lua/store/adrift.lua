-- Lists jobs of a type that nothing here brings to a worker, in one state, in order of their numbers, a page at a time.
-- Takes type, state, the number after which to look and the last one, how many to look at. Answers {the number after which
-- to look next, or '' at the end, {number, sequence or '', envelope, owner or nil, seconds until it is due}...}.
local function run(a)
  local looked = call('ZRANGEBYSCORE', state_at(a[2]), '(' .. a[3], a[4], 'LIMIT', 0, a[5])
  local answer = {''}
  for _, id in ipairs(looked) do
    local row = call('HMGET', job_at(id), 'type', 'number', 'sequence', 'entry', 'owner', 'due')
    if row[1] == a[1] and call('HEXISTS', PREFIX .. 'shelved', id) == 0
      and #call('XRANGE', OUTBOX, (row[4] or row[2]) .. '-0', (row[4] or row[2]) .. '-0') == 0 then
      answer[#answer + 1] = {row[2], row[3] or '', call('HGET', ENVELOPES, id), row[5],
        string.format('%.6f', math.max(0, tonumber(row[6] or '0') - NOW))}
    end
    answer[1] = row[2]
  end
  if #looked < tonumber(a[5]) then
    answer[1] = ''
  end
  return answer
end
