-- Groups of jobs: counts of their members, and what becomes of the job that closes one once the last has ended.
local FAILED = {'dead', 'purged', 'cancelled', 'expired'}
local WHEN_RELEASED = 'inf'

-- Counts a member that was one thing, or nil where it is new, and becomes another. Where that leaves none to wait for, the
-- job that closes the group is released, and its entry returned as by `release_scheduled`, or it dies.
function count_member(group, was, becomes)
  local row = group_at(group)
  if call('EXISTS', row) == 0 then
    return nil
  end
  call('HINCRBY', row, becomes, 1)
  if was then
    call('HINCRBY', row, was, -1)
  end
  local known = call('HMGET', row, 'settled', 'on_failure', 'unended', unpack(FAILED))
  local on_failure, failed = known[2], 0
  for place = 4, 3 + #FAILED do
    failed = failed + tonumber(known[place] or '0')
  end
  if known[1] or tonumber(known[3]) > 0 or (on_failure == 'wait' and tonumber(known[4] or '0') > 0) then
    return nil
  end
  call('HSET', row, 'settled', '1')
  local job = load_job(group)
  if not job or job.state ~= 'scheduled' or call('HGET', job_at(group), 'due') ~= WHEN_RELEASED then
    -- It was cancelled, or has expired.
    return nil
  end
  if failed == 0 or on_failure == 'run' then
    return release_scheduled(job)
  end
  local envelope = call('HGET', ENVELOPES, group)
  write_letter({
    id = group, type = job.type, key = job.key, reason = 'members of its group failed', detail = '',
    raw = envelope:sub(envelope:find('\n', 1, true) + 1), envelope = envelope, digest = job.digest, failures = '',
  })
  die(job, 'members of its group failed')
  return nil
end
