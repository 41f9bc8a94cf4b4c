-- Keeps a schedule's next state, and accepts jobs. Takes name, type, definition, the revision it had and when it is due or
-- '', then what `accept` takes for each job. Answers {'saved', the answer for each job}, or {'overtaken'}.
local function run(a)
  local name, revision = a[1], tonumber(a[4])
  if (tonumber(call('HGET', schedule_at(name), 'revision')) or 0) ~= revision then
    return {'overtaken'}
  end
  local answer = {'saved'}
  -- First what could fail; a job that is accepted twice is known then.
  for at = 6, #a, ACCEPTED do
    answer[#answer + 1] = accept(a, at)
  end
  call('HSET', schedule_at(name), 'type', a[2], 'definition', a[3], 'revision', whole(revision + 1), 'due', a[5])
  call('HSETNX', schedule_at(name), 'seen', string.format('%.6f', NOW))
  call('ZADD', SCHEDULES, 0, name)
  if a[5] == '' then
    call('ZREM', SCHEDULES_DUE, name)
  else
    call('ZADD', SCHEDULES_DUE, a[5], name)
  end
  return answer
end
