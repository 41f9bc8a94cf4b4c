-- Puts an opened job back until a time. Takes its id, type, key, token, nonce and the time. Returns {'scheduled'}, {'refused',
-- mark}, {'unknown'}, or {'ordered'}: it has a sequence; and whether it was put back here and now.
local function put_back(id, type, key_name, token, nonce, due)
  local key, job = load_key(name_of(type, key_name)), load_job(id)
  if not is_mark(key, token, nonce) then
    return {'refused', key.mark}
  end
  if not job then
    return {'unknown'}
  end
  if job.sequence then
    return {'ordered'}
  end
  if has_ended(job) then
    return {'refused', token}
  end
  if job.state == 'scheduled' then
    return {'scheduled'}
  end
  move(job, 'scheduled', 'due', due, 'ordered', '', 'opens', job.opens - 1)
  call('ZADD', DUE, due, job.id)
  unshelve(job.id)
  withdraw(job)
  if job.line then
    leave_line(job)
    give_places_untold(job)
  end
  notify('job/' .. job.id)
  return {'scheduled'}, true
end
