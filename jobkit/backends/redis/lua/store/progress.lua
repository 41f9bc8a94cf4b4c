-- Notes how far a running job is. Takes id, type, key, token, nonce, fraction, message. Answers 1, or 0 where the
-- fence is not the mark.
local function run(a)
  if not is_mark(load_key(name_of(a[2], a[3])), a[4], a[5]) then
    return 0
  end
  if call('HGET', job_at(a[1]), 'state') == 'running' then
    call('HSET', job_at(a[1]), 'progress', a[6], 'message', a[7])
    notify('job/' .. a[1])
  end
  return 1
end
