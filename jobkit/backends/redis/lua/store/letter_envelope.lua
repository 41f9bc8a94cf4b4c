-- Answers the envelope of a dead letter or nil, and the key that the job of its id has by now, or nil; nothing where
-- there is no such letter. Takes its number.
local function run(a)
  if call('EXISTS', letter_at(a[1])) == 0 then
    return false
  end
  local row = call('HMGET', letter_at(a[1]), 'envelope', 'id')
  return {row[1], row[2] and call('HGET', job_at(row[2]), 'key')}
end
