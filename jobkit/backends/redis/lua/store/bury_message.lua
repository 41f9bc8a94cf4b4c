-- Dead-letters a message that is no job of its own; the same once more makes no second letter. A job that it is the
-- message of ends too where its turn is over, skipped or taken: else it would be shown as waiting for ever.
-- Takes fingerprint, raw, reason, detail; then, where an envelope could be made of it, id, type, key or NONE, sequence
-- or '', digest, envelope. Answers {'dead'}.
local function is_past(job)
  return job.key and job.sequence
    and tonumber(job.sequence) <= load_key(name_of(job.type, job.key)).committed
end

local function run(a)
  local fields = {fingerprint = a[1], raw = a[2], reason = a[3], detail = a[4]}
  local id, digest, envelope = a[5], a[9], a[10]
  if id then
    fields.id, fields.type, fields.digest, fields.envelope = id, a[6], digest, envelope
    fields.key = a[7] ~= NONE and a[7] or nil
    fields.sequence = a[8] ~= '' and a[8] or nil
  end
  if call('HEXISTS', FINGERPRINTS, a[1]) == 0 then
    call('HSET', FINGERPRINTS, a[1], write_letter(fields))
  end
  if id then
    if call('HGET', PREFIX .. 'envelopes', id) == envelope then
      -- Else its partition's leader would adopt the same message again and again.
      unshelve(id)
    end
    local job = load_job(id)
    if job and job.digest == digest and not has_ended(job) and is_past(job) then
      die(job)
    end
  end
  return {'dead'}
end
