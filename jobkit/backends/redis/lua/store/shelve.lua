local function put_in_flight(id, key, partition, position)
  call('HSET', PREFIX .. 'shelved', id, partition)
  if not call('HGET', job_at(id), 'key') then
    call('HSET', PREFIX .. 'shelved as', id, key)
  end
  call('ZADD', PREFIX .. 'shelved:' .. partition, position, id)
  call('ZADD', PREFIX .. 'shelved:' .. partition .. '\0' .. key, position, id)
  call('ZADD', PREFIX .. 'shelved keys:' .. partition, 0, key)
  call('ZADD', shelved_of(partition, key), position, id)
end

-- Keeps a job in the in-flight table until it ends. Takes the facts, the digest without a key, type and index of the
-- partition, and the slot of its key: where nobody leads that partition any more, it is the key's own. Answers 'shelved',
-- 'duplicate' where it has ended, 'superseded' where it is not known and its sequence is another job's, or 'conflict' where
-- its id is that of another job.
local function run(a)
  local id, index = a[1], a[FACTS + 3]
  local layout = call('HGET', PREFIX .. 'layouts', a[FACTS + 2])
  local partitions, led = string.match(layout or '', '^(%d+) %d+ (%d+)')
  if led and tonumber(index) >= tonumber(led) then
    index = whole(tonumber(a[FACTS + 4]) % tonumber(partitions))
  end
  local partition = name_of(a[FACTS + 2], index)
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
  local of_key = shelved_of(partition, a[3])
  local there = call('HGET', PREFIX .. 'shelved', id)
  local position = there and call('ZSCORE', of_key, id) or next_position()
  -- As long as those of its key before it are elsewhere, it is behind them there.
  local before = call('ZREVRANGEBYSCORE', of_key, '(' .. position, '-inf', 'LIMIT', 0, 1)[1]
  local previous = before and call('HGET', PREFIX .. 'shelved', before) or partition
  if not there then
    put_in_flight(id, a[3], previous, position)
  elseif there ~= partition and previous == partition then
    unshelve(id)
    put_in_flight(id, a[3], partition, position)
  end
  return 'shelved'
end
