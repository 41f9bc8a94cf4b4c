-- Sets an ordered job aside until the gap before it closes; where it has closed, to the outbox.
-- Takes the facts, reason. Answers 'parked', 'requeued', 'duplicate', 'unordered', or 'superseded' where it is not known and
-- its sequence is another job's.
local function run(a)
  local reason = a[FACTS + 1]
  local name, job = name_of(a[2], a[3]), load_job(a[1])
  local sequence = a[4] ~= '' and a[4] or nil
  if job then
    sequence = job.sequence
    -- Where its other rows are too, whatever a message says.
    name = name_of(job.type, job.key or a[3])
  end
  if job and (has_ended(job) or job.state == 'scheduled') then
    return 'duplicate'
  end
  if not sequence then
    return 'unordered'
  end
  local key = load_key(name)
  if not job and tonumber(sequence) <= key.forgotten then
    return 'duplicate'
  end
  if not job and is_taken(key, sequence) then
    return 'superseded'
  end
  job = job or insert_foreign(a, key, 'queued')
  if tonumber(sequence) <= key.committed + 1 then
    leave_untold({{publish(job)}})
    unshelve(job.id)
    return 'requeued'
  end
  if call('ZADD', PARKED, 'NX', job.number, job.id) == 1 then
    call('ZADD', parked_at(name), 0, place_in_order(sequence, job.id))
    call('ZADD', GAPS, 0, name)
    call('HSET', job_at(job.id), 'parked_for', reason, 'parked_at', MOMENT)
  end
  move(job, 'parked')
  -- Parked, it is kept there: the in-flight table would have its partition's leader try it again and again.
  unshelve(job.id)
  withdraw(job)
  notify('job/' .. job.id)
  return 'parked'
end
