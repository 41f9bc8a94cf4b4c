-- Unique names, which one job at a time holds. No script frees one: the row of a name tells who took it last, and whether
-- that one holds it still follows from what has become of it.

-- Returns the job that holds a unique name of a type, or nil; whether it has begun is in `begun`. One that was to have begun
-- by now ends here.
local function holder_of(type, name)
  local id = call('HGET', UNIQUE, name_of(type, name))
  local job = id and load_job(id)
  if not job or has_ended(job) then
    return nil
  end
  local row = call('HMGET', job_at(id), 'unique', 'unique_while', 'started_at')
  if row[1] ~= name or (row[2] == 'queued' and row[3]) then
    return nil
  end
  local expires = not row[3] and call('ZSCORE', EXPIRING, id)
  if expires and tonumber(expires) <= NOW then
    expire(job)
    return nil
  end
  job.begun = row[3]
  return job
end
