-- Changes the priority of jobs that wait, and puts those that are due into the outbox. Takes the priority; of each job
-- its id, its envelope's first line as it was seen or '', and the one that it is to have, or '' where that is it.
-- Answers for each {}, where it is not known, {'left', state}, {'again', state} where its envelope is another one by now,
-- or {'changed', state, position or '', envelope or ''}.
-- Moves a job to another line of its tenant's; returns its new place in the outbox, where it has one.
local function change_line(job, priority)
  local left = {type = job.type, line = job.line}
  local placed, waited = leave_line(job)
  job.line = priority .. job.line:match(' .*$')
  call('HSET', job_at(job.id), 'line', job.line)
  if not placed and not waited then
    -- It has a time of its own, and comes into the line then.
    return nil
  end
  if waited then
    call('ZREM', DUE, job.id)
    call('HDEL', job_at(job.id), 'due')
    move(job, 'queued')
  end
  local position = take_place(job) and publish(job)
  give_places_untold(left)
  return position
end

local function changed(job, priority, packed)
  call('HSET', job_at(job.id), 'priority', priority)
  call('HSET', ENVELOPES, job.id, packed)
  if job.line then
    local state, position = job.state, change_line(job, priority)
    return {'changed', state, position or '', position and packed or ''}
  end
  if job.state == 'queued' then
    return {'changed', job.state, publish(job), packed}
  end
  return {'changed', job.state, '', ''}
end

local function one(priority, id, head, new)
  local job = load_job(id)
  if not job then
    return {}
  end
  local waits = job.state == 'queued' or job.state == 'scheduled'
  if not waits or job.sequence or new == '' or call('HGET', job_at(id), 'ordered') == '1' then
    return {'left', job.state}
  end
  local packed = call('HGET', ENVELOPES, id)
  if packed:match('^[^\n]*') ~= head then
    return {'again', job.state}
  end
  return changed(job, priority, new .. packed:sub(#head + 1))
end

local function run(a)
  local answer = {}
  for at = 2, #a, 3 do
    answer[#answer + 1] = one(a[1], a[at], a[at + 1], a[at + 2])
  end
  return answer
end
