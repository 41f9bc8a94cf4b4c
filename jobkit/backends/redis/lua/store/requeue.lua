-- Puts a dead letter's envelope into the outbox; where it is a job's own, the job starts afresh, and where there is no
-- such job, it becomes one. One whose sequence can never have its turn gets its key's next, and so does one that is
-- ordered and died before it was due. Takes its number, the facts, the digest without a key. Answers {1}, {0} where there
-- is no such letter or its id is that of another job, or {'taken', the unique name that the job had, the id of who holds it}.
local function begin_anew(job, envelope)
  local untimely = not job.sequence and call('HGET', job_at(job.id), 'ordered') == '1'
  call('HDEL', job_at(job.id), 'token', 'nonce', 'owner', 'opens', 'failed', 'failures', 'retry_at', 'told', 'silent',
    'taken_over', 'progress', 'message', 'started_at', 'finished_at', 'reason', 'priority', 'ordered')
  block(job.type, job.key, job.sequence, -1)
  if job.key and (job.sequence or untimely) then
    local key = load_key(name_of(job.type, job.key))
    if untimely or tonumber(job.sequence) <= key.committed then
      job.sequence = next_sequence(key)
      call('HSET', job_at(job.id), 'sequence', job.sequence)
    end
  end
  count_open(job, 1)
  if job.group then
    count_member(job.group, call('HEXISTS', job_at(job.id), 'settled') == 1 and 'purged' or 'dead', 'unended')
  end
  move(job, 'queued')
  call('HSET', ENVELOPES, job.id, envelope)
  local position = publish(job)
  if not job.line or take_place(job) then
    leave_untold({{position}})
  end
end

local function begin(a)
  if a[3] == NONE then
    return insert_job(a, 1, 'queued')
  end
  local key, sequence = load_key(name_of(a[2], a[3])), tonumber(a[4])
  if sequence and (sequence <= key.committed or is_taken(key, sequence)) then
    a[4] = next_sequence(key)
  end
  return insert_foreign(a, key, 'queued')
end

local function run(a)
  local number = table.remove(a, 1)
  if call('HEXISTS', letter_at(number), 'envelope') == 0 then
    return {0}
  end
  local job = load_job(a[1])
  if job and job.digest ~= (job.key and a[5] or a[FACTS + 1]) then
    return {0}
  end
  local unique = job and job.state == 'dead' and call('HGET', job_at(job.id), 'unique')
  local holder = unique and holder_of(job.type, unique)
  if holder then
    return {'taken', unique, holder.id}
  end
  delete_letter(number)
  if not job then
    leave_untold({{publish(begin(a))}})
  elseif job.state == 'dead' then
    begin_anew(job, a[FACTS])
    if unique then
      call('HSET', UNIQUE, name_of(job.type, unique), job.id)
    end
  end
  notify('job/' .. a[1])
  return {1}
end
