-- Accepts a job from the arguments from `at` on: its facts, '1' where it is ordered.
-- Answers {'accepted', sequence or '', position}, {'conflict'}, or {'known', sequence or '', when it was submitted,
-- trace, schema}. Whoever asks for an order has seen to it that there is a key.
local ACCEPTED = FACTS + 1

local function accept(a, at)
  local known = call('HMGET', job_at(a[at]), 'digest', 'sequence', 'submitted_at', 'trace', 'schema')
  if known[1] then
    if known[1] ~= a[at + 4] then
      return {'conflict'}
    end
    return {'known', known[2] or '', known[3], known[4], known[5]}
  end
  local given = nil
  if a[at + FACTS] == '1' then
    local key = load_key(name_of(a[at + 1], a[at + 2]))
    given = whole(key.submitted + 1)
    save_key(key, 'submitted', given)
    a[at + 3] = given
  end
  local job = insert_job(a, at, 'queued')
  -- Its number is where nothing has been published yet.
  enter(job.id, job.number)
  return {'accepted', given or '', job.number}
end
