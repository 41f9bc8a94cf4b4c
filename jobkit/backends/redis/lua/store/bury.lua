-- Dead-letters an opened job with its history. Takes id, type, key, token, nonce, reason, detail, body, envelope,
-- digest. Answers {'dead'}, {'ended'}, {'cancelled'}, {'refused', mark} or {'unknown'}.
local function run(a)
  local key, job = load_key(name_of(a[2], a[3])), load_job(a[1])
  if job and has_ended(job) then
    return ended_as(job)
  end
  if not is_mark(key, a[4], a[5]) then
    return {'refused', key.mark}
  end
  if not job then
    return {'unknown'}
  end
  write_letter({
    id = a[1], type = a[2], key = a[3], sequence = job.sequence, reason = a[6], detail = a[7], raw = a[8],
    envelope = a[9], digest = a[10], failures = job.failures,
  })
  die(job, a[6])
  return {'dead'}
end
