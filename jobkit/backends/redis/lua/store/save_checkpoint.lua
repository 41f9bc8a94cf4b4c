-- Keeps what an opened job has come to. Takes id, type, key, token, nonce, step, version, value, its files or ''. Answers
-- 'saved'; 'newer' where something is kept under the name whose version is no lower; or 'refused' where the job has ended, or
-- was opened under another fence since.
local function run(a)
  local name, job = name_of(a[2], a[3]), load_job(a[1])
  if not job or has_ended(job) or job.token ~= a[4] or job.nonce ~= a[5] or not is_mark(load_key(name), a[4], a[5]) then
    return 'refused'
  end
  local at = PREFIX .. 'checkpoints:' .. a[1]
  local kept = call('HGET', at, a[6])
  local first = MICROSECONDS
  if kept then
    local earlier = cmsgpack.unpack(kept)
    if earlier[1] >= tonumber(a[7]) then
      return 'newer'
    end
    first = earlier[5]
  end
  call('HSET', at, a[6], cmsgpack.pack({tonumber(a[7]), a[8], a[9], MOMENT, first}))
  if not job.saved then
    call('HSET', job_at(a[1]), 'saved', '1')
  end
  local files = PREFIX .. 'step files:' .. name
  if a[9] ~= '' then
    call('HSET', files, a[1] .. '\0' .. a[6], a[9])
  elseif kept then
    call('HDEL', files, a[1] .. '\0' .. a[6])
  end
  return 'saved'
end
