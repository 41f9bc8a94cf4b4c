-- Sets the mark of a job's key and tells what to do with the job. That a job has ended is told to anybody; all else is
-- told, and written, only to who holds a fence that is not lower than the mark.
-- Takes the facts, of which the envelope may be '', token, nonce, owner, and the digest of the job without a key, or ''.
-- Answers
-- {'opened', opens, failures, log length}, {'ended'}, {'cancelled'}, {'scheduled'}, {'forgotten'}, {'stale', mark}, {'conflict'}, {'gap', expected, 1 or 0},
-- {'skipped', next}, or {'unknown'}: the job, or its key, is not known here, so that its envelope is needed, and that
-- digest.

-- The job's sequence is not the key's next: it is waited for, was given up, or is over.
local function out_of_turn(a, name, key, job, sequence)
  local expected = key.committed + 1
  local skipped = tonumber(sequence) < expected and is_skipped(name, sequence)
  if not job and (skipped or tonumber(sequence) > expected) then
    if a[FACTS] == '' then
      return {'unknown'}
    end
    insert_foreign(a, key, 'queued')
  end
  if tonumber(sequence) > expected then
    return {'gap', whole(expected), is_blocked(name, expected) and 1 or 0}
  end
  if skipped then
    return {'skipped', whole(expected)}
  end
  if not job and tonumber(sequence) <= key.forgotten then
    -- It ended so long ago that its id was forgotten; the sequence still tells.
    return {'forgotten'}
  end
  -- The sequence was committed by a job with another id: no order is left for this one, and a person must decide.
  return {'conflict'}
end

local function start(a, key, job, token, nonce, owner)
  if not job then
    if a[FACTS] == '' then
      return {'unknown'}
    end
    job = insert_foreign(a, key, 'running')
  elseif job.token == token and job.nonce == nonce and job.state == 'running' then
    return {'opened', job.opens, job.failures, whole(key.entries)}
  end
  if not job.key then
    job.key = a[3]
    call('HSET', job_at(job.id), 'key', a[3], 'digest', a[5])
    call('HSET', ENVELOPES, job.id, a[FACTS])
    count_open(job, 1)
  end
  if job.opens == 0 then
    call('HSET', job_at(job.id), 'started_at', MOMENT)
  end
  move(job, 'running', 'token', token, 'nonce', nonce, 'owner', owner, 'opens', job.opens + 1)
  return {'opened', job.opens + 1, job.failures, whole(key.entries)}
end

local function run(a)
  local token, nonce, owner, keyless = unpack(a, FACTS + 1, FACTS + 4)
  local name = name_of(a[2], a[3])
  local key, job = load_key(name), load_job(a[1])
  if job and not job.key and a[FACTS] == '' then
    return {'unknown'}
  end
  local same = not job or job.digest == (job.key and a[5] or keyless)
  if job and same and (has_ended(job) or job.state == 'scheduled') then
    return ended_as(job)
  end
  if not is_mark(key, token, nonce) then
    if tonumber(token) <= tonumber(key.mark) then
      return {'stale', key.mark}
    end
    save_key(key, 'token', token, 'nonce', nonce, 'owner', owner)
  end
  if not same then
    return {'conflict'}
  end
  local sequence = a[4] ~= '' and a[4] or nil
  if job then
    sequence = job.sequence
  end
  if sequence and tonumber(sequence) ~= key.committed + 1 then
    return out_of_turn(a, name, key, job, sequence)
  end
  return start(a, key, job, token, nonce, owner)
end
