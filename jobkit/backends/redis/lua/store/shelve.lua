-- Keeps a job in the in-flight table until it ends. Takes the facts, the digest without a key, type and index of the
-- partition. Answers 'shelved', 'duplicate' where it has ended, 'superseded' where it is not known and its sequence is another
-- job's, or 'conflict' where its id is that of another job.
local function run(a)
  local id, partition = a[1], name_of(a[FACTS + 2], a[FACTS + 3])
  local job = load_job(id)
  if not job then
    local key = load_key(name_of(a[2], a[3]))
    if a[4] ~= '' and tonumber(a[4]) <= key.forgotten then
      return 'duplicate'
    end
    if a[4] ~= '' and is_taken(key, a[4]) then
      return 'superseded'
    end
    insert_foreign(a, key, 'queued')
  elseif job.digest ~= (job.key and a[5] or a[FACTS + 1]) then
    return 'conflict'
  elseif has_ended(job) or job.state == 'scheduled' then
    return 'duplicate'
  end
  if call('HSETNX', PREFIX .. 'shelved', id, partition) == 1 then
    local position = next_position()
    call('ZADD', PREFIX .. 'shelved:' .. partition, position, id)
    call('ZADD', PREFIX .. 'shelved:' .. partition .. '\0' .. a[3], position, id)
    call('ZADD', PREFIX .. 'shelved keys:' .. partition, 0, a[3])
  end
  return 'shelved'
end
