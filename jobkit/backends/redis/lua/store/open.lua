-- Sets the mark of a job's key and tells what to do with the job. That a job has ended is told to anybody; all else is
-- told, and written, only to who holds a fence that is not lower than the mark.
-- Takes the facts, of which the envelope may be '', token, nonce, owner, the digest of the job without a key, or '', and
-- how many starts whose end nobody reported are told apart, the priority of the message, and how many take-overs are
-- kept. Answers {'opened', opens,
-- failures, log length, how many of those there are}, {'early', seconds}, {'ended'}, {'cancelled'}, {'expired'},
-- {'scheduled'}, {'moved'}, {'forgotten'}, {'stale', mark}, {'conflict'}, {'superseded', sequence},
-- {'gap', expected, 1 or 0}, {'skipped', next}, or {'unknown'}: the job, or its key, is not known here, so that its
-- envelope is needed, and that digest.

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
  return {'superseded', sequence}
end

-- A start's end is reported by a failure, or in `told`; who comes back to a job has evidently lived. Those that nobody
-- reported are in `silent`, by nonce.
local function silent_starts(job, owner, most)
  local row = call('HMGET', job_at(job.id), 'owner', 'told', 'silent')
  local nonces = {}
  for nonce in (row[3] or ''):gmatch('%S+') do
    nonces[#nonces + 1] = nonce
  end
  if job.state == 'running' and row[1] ~= owner and row[2] ~= job.nonce then
    nonces[#nonces + 1] = job.nonce
    local kept = table.concat(nonces, ' ', math.max(1, #nonces - most + 1))
    call('HSET', job_at(job.id), 'silent', kept)
  end
  return math.min(#nonces, most)
end

-- Whoever had opened a job, and had not ended it, is noted as another worker opens it: a line of JSON each, the last few.
local function note_take_over(job, owner, most)
  local row = call('HMGET', job_at(job.id), 'owner', 'taken_over')
  if not row[1] or row[1] == owner then
    return
  end
  local lines = {}
  for line in (row[2] or ''):gmatch('[^\n]+') do
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = cjson.encode({row[1], job.token, MOMENT})
  local kept = table.concat(lines, '\n', math.max(1, #lines - most + 1))
  call('HSET', job_at(job.id), 'taken_over', kept)
end

local function due_in(job)
  local retry_at = job.failures ~= '' and tonumber(call('HGET', job_at(job.id), 'retry_at') or '0') or 0
  return retry_at - NOW
end

-- By when a job that has not begun has to have; in most cases there is nothing that any of them must.
local function is_over(job)
  local expires = job.opens == 0 and call('ZSCORE', EXPIRING, job.id)
  return expires and tonumber(expires) <= NOW
end

local function start(a, key, job, token, nonce, owner, most, take_overs)
  if not job then
    if a[FACTS] == '' then
      return {'unknown'}
    end
    job = insert_foreign(a, key, 'running')
  elseif job.token == token and job.nonce == nonce and job.state == 'running' then
    return {'opened', job.opens, job.failures, whole(key.entries), silent_starts(job, owner, most)}
  end
  local silent = job.nonce and silent_starts(job, owner, most) or 0
  if not job.key then
    job.key = a[3]
    call('HSET', job_at(job.id), 'key', a[3], 'digest', a[5])
    call('HSET', ENVELOPES, job.id, a[FACTS])
    count_open(job, 1)
  end
  if job.opens == 0 then
    call('HSET', job_at(job.id), 'started_at', MOMENT)
    call('ZREM', EXPIRING, job.id)
  end
  if job.state == 'running' then
    note_take_over(job, owner, take_overs)
  end
  move(job, 'running', 'token', token, 'nonce', nonce, 'owner', owner, 'opens', job.opens + 1)
  if job.failures ~= '' then
    -- That the attempt before ended under this very nonce says nothing of this one.
    call('HDEL', job_at(job.id), 'told')
  end
  return {'opened', job.opens + 1, job.failures, whole(key.entries), silent}
end

local function run(a)
  local token, nonce, owner, keyless, most, priority, take_overs = unpack(a, FACTS + 1, FACTS + 7)
  local name = name_of(a[2], a[3])
  local key, job = load_key(name), load_job(a[1])
  if job and not job.key and a[FACTS] == '' then
    return {'unknown'}
  end
  local same = not job or job.digest == (job.key and a[5] or keyless)
  if job and same and (has_ended(job) or job.state == 'scheduled') then
    return ended_as(job)
  end
  if job and same and is_over(job) then
    expire(job)
    return ended_as(job)
  end
  if job and same and job.priority and job.priority ~= priority then
    return {'moved'}
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
  if not job and is_taken(key, sequence) then
    return {'superseded', sequence}
  end
  if sequence and tonumber(sequence) ~= key.committed + 1 then
    return out_of_turn(a, name, key, job, sequence)
  end
  if job and due_in(job) > 0 then
    return {'early', string.format('%.6f', due_in(job))}
  end
  return start(a, key, job, token, nonce, owner, tonumber(most), tonumber(take_overs))
end
