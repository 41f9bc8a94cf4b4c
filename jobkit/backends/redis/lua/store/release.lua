-- Moves a scheduled job to the outbox, and gives one that is ordered its sequence. Returns {position, sequence or '', envelope},
-- or nil where its tenant has no place for it.
function release_scheduled(job)
  if call('HGET', job_at(job.id), 'ordered') == '1' then
    job.sequence = next_sequence(load_key(name_of(job.type, job.key)))
    call('HSET', job_at(job.id), 'sequence', job.sequence)
  end
  call('ZREM', DUE, job.id)
  call('HDEL', job_at(job.id), 'due', 'ordered')
  move(job, 'queued')
  notify('job/' .. job.id)
  if job.line and not take_place(job) then
    return nil
  end
  return {publish(job), job.sequence or '', call('HGET', ENVELOPES, job.id)}
end
