-- Puts an opened job back until so many seconds from now. Takes id, type, key, token, nonce, seconds. Answers {'scheduled'},
-- {'refused', mark}, {'unknown'}, or {'ordered'}: it has a sequence.
local function run(a)
  local key, job = load_key(name_of(a[2], a[3])), load_job(a[1])
  if not is_mark(key, a[4], a[5]) then
    return {'refused', key.mark}
  end
  if not job then
    return {'unknown'}
  end
  if job.sequence then
    return {'ordered'}
  end
  if has_ended(job) then
    return {'refused', a[4]}
  end
  if job.state ~= 'scheduled' then
    local due = string.format('%.6f', NOW + a[6])
    move(job, 'scheduled', 'due', due, 'ordered', '', 'opens', job.opens - 1)
    call('ZADD', DUE, due, job.id)
    unshelve(job.id)
    withdraw(job)
    if job.line then
      leave_line(job)
      give_places(job, {})
    end
    notify('job/' .. job.id)
  end
  return {'scheduled'}
end
