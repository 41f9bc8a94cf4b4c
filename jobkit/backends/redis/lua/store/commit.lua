-- Ends an opened job: verifies the mark, the id and the sequence, and writes every effect. All that can be refused is
-- looked at before anything is written, for nothing takes back what a script has written.
-- Takes id, type, key, token, nonce, result, manifest or '', how many records and how many entries, their names and
-- values, their kinds and data, then what `accept` takes for each follow-up. Answers {'ended'}, {'cancelled'}, {'refused', mark},
-- {'conflict', id of a follow-up, and the group that it cannot be a member of or ''}, or {'committed', {position, sequence or '', envelope}...}.
local HEAD = 9

-- Returns the id of a follow-up that is known otherwise, or is two things here, or nil.
local function conflicting(a, first)
  local digests = {}
  for at = first, #a, ACCEPTED do
    local id, digest = a[at], a[at + 4]
    local known = digests[id] or call('HGET', job_at(id), 'digest')
    if known and known ~= digest then
      return id
    end
    digests[id] = digest
  end
  return nil
end

local function write(a, name, key, job, records, entries)
  local at = HEAD + 1
  for _ = 1, records do
    call('HSET', PREFIX .. 'records:' .. name, a[at], a[at + 1])
    at = at + 2
  end
  for _ = 1, entries do
    local entry = {a[at], a[at + 1], job.id, job.sequence or '', job.token, MOMENT}
    call('RPUSH', PREFIX .. 'log:' .. name, cmsgpack.pack(entry))
    at = at + 2
  end
  local manifest = a[7] ~= '' and {'blobs', a[7]} or {}
  if job.sequence then
    key.committed = passed(name, tonumber(job.sequence))
  end
  save_key(key, 'committed', whole(key.committed), 'entries', whole(key.entries + entries), 'open', whole(key.open - 1),
    unpack(manifest))
  if job.state == 'scheduled' then
    -- Put back by a call that came late; the commit is what counts.
    call('ZREM', DUE, job.id)
  end
  move(job, 'committed', 'result', a[6], 'progress', '1.0', 'finished_at', MOMENT)
  call('RPUSH', ENDED, job.id)
  leave(job)
  drop_checkpoints(job)
end

-- The answer was lost and is asked for again: what the commit released and nobody has confirmed yet. Among that may be what
-- was left to be told by somebody else, who then need not.
local function again(id)
  local answer = {'committed'}
  local first, last = (call('HGET', job_at(id), 'released') or ''):match('^(%d+) (%d+)$')
  for _, entry in ipairs(first and call('XRANGE', OUTBOX, first, last) or {}) do
    local released = {}
    add_entry(released, entry)
    answer[#answer + 1] = released
    call('LREM', UNTOLD, 1, released[1])
  end
  return answer
end

local function run(a)
  local id, name, token, nonce = a[1], name_of(a[2], a[3]), a[4], a[5]
  local records, entries = tonumber(a[8]), tonumber(a[9])
  local key, job = load_key(name), load_job(id)
  local opened_under_fence = job and job.token == token and job.nonce == nonce
  if job and has_ended(job) then
    -- That the mark may have moved on since changes nothing.
    return opened_under_fence and job.state == 'committed' and again(id) or ended_as(job)
  end
  local in_turn = job and (not job.sequence or tonumber(job.sequence) == key.committed + 1)
  if not is_mark(key, token, nonce) or not opened_under_fence or not in_turn then
    -- Under the mark a job that was opened stays the next one, unless an operator skipped its sequence meanwhile.
    return {'refused', key.mark}
  end
  local follow_ups = HEAD + 1 + 2 * (records + entries)
  local conflict = conflicting(a, follow_ups)
  if conflict then
    return {'conflict', conflict}
  end
  local refused = objection(a, follow_ups)
  if refused then
    return {'conflict', unpack(refused)}
  end
  write(a, name, key, job, records, entries)
  local answer = {'committed'}
  if job.sequence then
    release_next(name, key.committed + 1, answer)
  end
  local replaced = false
  for at = follow_ups, #a, ACCEPTED do
    local answered = accept(a, at, job)
    replaced = replaced or answered[5]
    if answered[1] == 'accepted' and answered[3] ~= '' then
      answer[#answer + 1] = {answered[3], answered[2], a[at + FACTS - 1]}
    end
  end
  -- After them, for one may take its place in the group.
  if job.group then
    answer[#answer + 1] = count_member(job.group, 'unended', 'committed')
  end
  give_places(job, answer)
  if #answer > 1 then
    call('HSET', job_at(id), 'released', answer[2][1] .. ' ' .. answer[#answer][1])
  end
  -- What was replaced may follow from this job, too, and is no longer to be published then.
  return replaced and again(id) or answer
end
