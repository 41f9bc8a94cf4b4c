-- Dead-letters a message, and ends the job whose message it is; the same message makes one letter.
-- Takes fingerprint, raw, reason, detail, headers, id or NONE, type or NONE, key or NONE, sequence or ''; then, where an
-- envelope could be made of it, that, the digests that its job has with a key and without, and what tells of its end or ''.
-- Answers {'dead'}, or {'ended'} where that job had.
local function given(text)
  return text ~= NONE and text or nil
end

local function run(a)
  local fields = {
    fingerprint = a[1], raw = a[2], reason = a[3], detail = a[4], headers = a[5] ~= '' and a[5] or nil,
    id = given(a[6]), type = given(a[7]), key = given(a[8]), sequence = a[9] ~= '' and a[9] or nil,
    envelope = a[10], digest = a[11],
  }
  local job = a[10] and load_job(a[6])
  if job and job.digest == (job.key and a[11] or a[12]) then
    if has_ended(job) then
      return {'ended'}
    end
    fields.failures = job.failures ~= '' and job.failures or nil
    die(job, a[3])
  end
  if call('HEXISTS', FINGERPRINTS, a[1]) == 0 then
    call('HSET', FINGERPRINTS, a[1], write_letter(fields))
    if not job then
      tell(a[13], 'dead')
    end
  end
  return {'dead'}
end
