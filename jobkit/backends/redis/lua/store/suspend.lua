-- Accepts the members of a group, and puts an opened job aside until they have ended. Takes id, type, key, token, nonce,
-- on_failure, and what `accept` takes for each member. Answers as `put_back`, followed by the members' positions in the outbox or
-- ''; or {'conflict', id, group or ''} where the job has had a group, or a member is known: then nothing is written.
local HEAD = 6

local function objection_to(a, job)
  if not job or job.state == 'scheduled' then
    return nil
  end
  if call('EXISTS', group_at(job.id)) == 1 then
    return {job.id, ''}
  end
  local seen = {}
  for at = HEAD + 1, #a, ACCEPTED do
    if seen[a[at]] or call('EXISTS', job_at(a[at])) == 1 then
      return {a[at], job.id}
    end
    seen[a[at]] = true
  end
  return nil
end

local function run(a)
  local refused = objection_to(a, load_job(a[1]))
  if refused then
    return {'conflict', unpack(refused)}
  end
  local answer, put_here = put_back(a[1], a[2], a[3], a[4], a[5], WHEN_RELEASED)
  if not put_here then
    return answer
  end
  -- Of no group itself, as far as `close` goes: its place in one stays its own.
  close(a[1], string.format('%s %d 0', a[6], (#a - HEAD) / ACCEPTED), {id = a[1]})
  for at = HEAD + 1, #a, ACCEPTED do
    answer[#answer + 1] = accept(a, at)[3]
  end
  return answer
end
