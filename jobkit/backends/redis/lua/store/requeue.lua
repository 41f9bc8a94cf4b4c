-- Puts a dead letter's envelope into the outbox as it was; where it is a job's own, the job starts afresh.
-- Takes its number. Answers the envelope, or nil where there is none that could run.
local function run(a)
  local letter = call('HMGET', letter_at(a[1]), 'envelope', 'id', 'digest')
  if not letter[1] then
    return false
  end
  delete_letter(a[1])
  local job = load_job(letter[2])
  if job and job.digest == letter[3] and job.state == 'dead' then
    call('HDEL', job_at(job.id), 'token', 'nonce', 'owner', 'opens', 'failed', 'failures', 'progress', 'message',
      'started_at', 'finished_at')
    block(job.type, job.key, job.sequence, -1)
    count_open(job, 1)
    move(job, 'queued')
  end
  publish(letter[1])
  ring('job/' .. letter[2])
  return letter[1]
end
