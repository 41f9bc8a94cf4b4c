-- Accepts a job from the arguments from `at` on: its facts, '1' where it is ordered, and of one that is to run later when
-- that is or '', or in how many seconds or ''; and by when it has to have begun, likewise.
-- Answers {'accepted', sequence or '', position}, {'accepted', '', '', when it is due}, {'conflict'}, or {'known', sequence
-- or '', when it was submitted, trace, schema}. Whoever asks for an order has seen to it that there is a key.
local ACCEPTED = FACTS + 5

-- Which of the jobs from an argument on cannot be accepted, of those that `accept` cannot tell of by itself.
local function objection()
  return nil
end

local function due_of(a, at)
  local due = tonumber(a[at + FACTS + 1]) or (tonumber(a[at + FACTS + 2]) or 0) + NOW
  return due > NOW and due or nil
end

-- Notes by when a job has to have begun.
local function limit(a, at, job)
  local expires = tonumber(a[at + FACTS + 3]) or a[at + FACTS + 4] ~= '' and NOW + a[at + FACTS + 4]
  if expires then
    call('ZADD', EXPIRING, string.format('%.6f', expires), job.id)
  end
end

local function schedule(a, at, due)
  local job = insert_job(a, at, 'scheduled')
  due = string.format('%.6f', due)
  call('HSET', job_at(job.id), 'due', due, 'ordered', a[at + FACTS])
  call('ZADD', DUE, due, job.id)
  limit(a, at, job)
  return {'accepted', '', '', due}
end

local function accept(a, at)
  local known = call('HMGET', job_at(a[at]), 'digest', 'sequence', 'submitted_at', 'trace', 'schema')
  if known[1] then
    if known[1] ~= a[at + 4] then
      return {'conflict'}
    end
    return {'known', known[2] or '', known[3], known[4], known[5]}
  end
  local due = due_of(a, at)
  if due then
    return schedule(a, at, due)
  end
  local given = nil
  if a[at + FACTS] == '1' then
    given = next_sequence(load_key(name_of(a[at + 1], a[at + 2])))
    a[at + 3] = given
  end
  local job = insert_job(a, at, 'queued')
  -- Its number is where nothing has been published yet.
  enter(job.id, job.number)
  limit(a, at, job)
  return {'accepted', given or '', job.number}
end
