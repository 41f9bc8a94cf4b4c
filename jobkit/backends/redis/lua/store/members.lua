-- Lists members of a group above a number, in order. Takes its id, the number, how many. Answers {number, id, type, key, state,
-- result, '1' where it closes a group or nil}...
local function run(a)
  local found = call('ZRANGEBYSCORE', PREFIX .. 'members:' .. a[1], '(' .. a[2], '+inf', 'WITHSCORES', 'LIMIT', 0, a[3])
  local answer = {}
  for at = 1, #found, 2 do
    local row = call('HMGET', job_at(found[at]), 'type', 'key', 'state', 'result', 'closes')
    answer[#answer + 1] = {whole(tonumber(found[at + 1])), found[at], unpack(row)}
  end
  return answer
end
