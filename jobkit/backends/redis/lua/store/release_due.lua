-- Moves jobs that are due to the outbox, those first that were due first, and then members of groups that were held and are
-- whole; then tells of what nobody was told of. Takes how many. Answers {position, sequence or '', envelope}...
local function release_held(group, answer, limit)
  local ids = call('ZRANGEBYSCORE', PREFIX .. 'members:' .. group, '(' .. (call('HGET', group_at(group), 'released_to') or '0'),
    '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for at = 1, #ids, 2 do
    local job = load_job(ids[at])
    -- A member that closes a group itself waits for that one.
    if job.state == 'scheduled' and call('EXISTS', group_at(job.id)) == 0 and call('HGET', job_at(job.id), 'due') == 'inf' then
      answer[#answer + 1] = release_scheduled(job)
    end
    call('HSET', group_at(group), 'released_to', whole(tonumber(ids[at + 1])))
  end
  if #ids < 2 * limit then
    call('ZREM', HELD, group)
  end
end

-- What is published by now, or has ended, is not in the outbox any more.
local function add_untold(answer, limit)
  local positions = limit > 0 and call('LRANGE', UNTOLD, 0, limit - 1) or {}
  for _, position in ipairs(positions) do
    local entry = call('XRANGE', OUTBOX, position .. '-0', position .. '-0')[1]
    if entry then
      local told = {}
      add_entry(told, entry)
      answer[#answer + 1] = told
    end
  end
  if #positions > 0 then
    call('LTRIM', UNTOLD, #positions, -1)
  end
end

local function run(a)
  local answer, limit = {}, tonumber(a[1])
  local due = call('ZRANGEBYSCORE', DUE, '-inf', string.format('%.6f', NOW), 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local job = load_job(id)
    if job and job.state == 'scheduled' then
      answer[#answer + 1] = release_scheduled(job)
    else
      call('ZREM', DUE, id)
    end
  end
  local group = #due < limit and call('ZRANGE', HELD, 0, 0)[1]
  if group then
    release_held(group, answer, limit - #due)
  end
  add_untold(answer, limit - #answer)
  return answer
end
