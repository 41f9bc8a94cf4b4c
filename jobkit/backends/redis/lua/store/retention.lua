-- Forgets jobs that nobody has to act on after their time or beyond their number, the first to come to that first, and the
-- rows of keys that nobody uses. One that anything refers to, or that holds its key up, comes last the next time. Only keys without any other truth lose their row; the highest mark forgotten becomes the floor for
-- keys without one, so a forgotten key accepts no token that it would have refused.
-- Takes seconds, how many such jobs to keep, how many to forget, how many keys to look at, and after how many seconds a group
-- that is not whole is dropped. Answers how many jobs went.
local function is_held(job)
  local entry = (call('HGET', job_at(job.id), 'entry') or job.number) .. '-0'
  return #call('XRANGE', OUTBOX, entry, entry) > 0 or call('HEXISTS', PREFIX .. 'shelved', job.id) == 1
    or call('ZSCORE', PARKED, job.id)
    or (job.state ~= 'committed' and job.key and job.sequence
      and tonumber(job.sequence) > load_key(name_of(job.type, job.key)).committed)
    or (job.group and call('EXISTS', group_at(job.group)) == 1)
end

-- A group with members that have yet to end, and may.
local function is_going_on(id)
  local row = call('HMGET', group_at(id), 'unended', 'abandoned')
  return row[1] and not row[2] and tonumber(row[1]) > 0
end

local function forget_group(id)
  local parent = call('HGET', group_at(id), 'parent')
  if parent then
    call('ZREM', PREFIX .. 'groups of:' .. parent, id)
  end
  call('DEL', group_at(id), PREFIX .. 'members:' .. id)
  call('ZREM', GROUPS, id)
end

local function forget_job(job, unique)
  local id = job.id
  -- First, because it is done even where memory is full, and so is then all that follows.
  call('DEL', job_at(id))
  call('ZREM', JOBS, id)
  if job.state ~= 'committed' then
    call('ZREM', state_at(job.state), id)
  end
  if unique and call('HGET', UNIQUE, name_of(job.type, unique)) == id then
    call('HDEL', UNIQUE, name_of(job.type, unique))
  end
  if job.state == 'dead' then
    call('HINCRBY', STORE, 'purged', -1)
    block(job.type, job.key, job.sequence, -1)
  end
  if job.sequence then
    local row = key_at(name_of(job.type, job.key))
    local forgotten = tonumber(call('HGET', row, 'forgotten') or '0')
    call('HSET', row, 'forgotten', whole(math.max(forgotten, tonumber(job.sequence))))
  end
end

local function forget_jobs(before, keep, batch)
  local surplus = call('LLEN', ENDED) - keep
  local gone = 0
  local passed, kept = 0, {}
  for place, id in ipairs(call('LRANGE', ENDED, 0, batch - 1)) do
    local times = call('HMGET', job_at(id), 'settled', 'finished_at', 'unique', 'closes')
    if place > surplus and tonumber(times[1] or times[2]) >= before then
      break
    end
    local job = load_job(id)
    if is_held(job) or (times[4] and is_going_on(id)) then
      kept[#kept + 1] = job
    else
      forget_job(job, times[3])
      if times[4] then
        forget_group(id)
      end
      gone = gone + 1
    end
    passed = place
  end
  call('LTRIM', ENDED, passed, -1)
  for _, job in ipairs(kept) do
    settle(job)
  end
  return gone
end

-- Ends so many members of a group that was never declared whole, or that nobody waits for, and the job that closes it last.
local function drop_group(before, batch)
  local id = call('ZRANGEBYSCORE', UNDECLARED, '-inf', string.format('(%.6f', before), 'LIMIT', 0, 1)[1]
  if not id then
    return
  end
  local reason = call('HGET', group_at(id), 'parent') == id and 'the job that waited for its group was cancelled'
    or 'its group was never declared whole'
  call('HSET', group_at(id), 'abandoned', '1', 'settled', '1')
  local after = call('HGET', group_at(id), 'released_to') or '0'
  local ids = call('ZRANGEBYSCORE', PREFIX .. 'members:' .. id, '(' .. after, '+inf', 'LIMIT', 0, batch)
  for _, member in ipairs(ids) do
    local job = load_job(member)
    call('HSET', group_at(id), 'released_to', job.number)
    if not has_ended(job) then
      end_early(job, 'cancelled', 'jobkit', reason)
    end
  end
  if #ids < batch then
    call('ZREM', UNDECLARED, id)
    local job = load_job(id)
    if not has_ended(job) then
      end_early(job, 'cancelled', 'jobkit', reason)
    end
  end
end

local function is_idle(row, name, before)
  for place = 2, 5 do
    if tonumber(row[place] or '0') ~= 0 then
      return false
    end
  end
  return tonumber(row[1]) <= before and not row[6] and call('EXISTS', PREFIX .. 'records:' .. name) == 0
    and call('EXISTS', PREFIX .. 'step files:' .. name) == 0
end

-- Looks at some keys, from where the last look ended; each key's turn comes round.
local function forget_keys(before, many)
  local floor = tonumber(call('HGET', STORE, 'floor') or '0')
  local cursor = call('HGET', STORE, 'cursor') or ''
  local names = call('ZRANGEBYLEX', NAMES, '(' .. cursor, '+', 'LIMIT', 0, many)
  for _, name in ipairs(names) do
    local row = call('HMGET', key_at(name), 'touched', 'submitted', 'committed', 'entries', 'open', 'blobs', 'token')
    if is_idle(row, name, before) then
      floor = math.max(floor, tonumber(row[7] or '0'))
      call('DEL', key_at(name))
      call('ZREM', NAMES, name)
    end
  end
  call('HSET', STORE, 'floor', whole(floor), 'cursor', #names == tonumber(many) and names[#names] or '')
end

local function run(a)
  local before = NOW - a[1]
  drop_group(NOW - a[5], tonumber(a[3]))
  local gone = forget_jobs(before, tonumber(a[2]), tonumber(a[3]))
  forget_keys(before, a[4])
  return gone
end
