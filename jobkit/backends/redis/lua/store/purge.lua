-- Deletes a dead letter for good; its job is forgotten in its turn. Takes its number; where it has an envelope, the id
-- and the digests that its job has with a key and without. Answers 1, or 0 where there is no such letter.
local function run(a)
  if call('EXISTS', letter_at(a[1])) == 0 then
    return 0
  end
  delete_letter(a[1])
  local job = a[2] and load_job(a[2])
  if job and job.state == 'dead' and job.digest == (job.key and a[3] or a[4])
    and call('HEXISTS', job_at(job.id), 'settled') == 0 then
    settle(job)
    drop_checkpoints(job)
    call('HINCRBY', STORE, 'purged', 1)
    if job.group then
      leave_untold({count_member(job.group, 'dead', 'purged')})
    end
  end
  return 1
end
