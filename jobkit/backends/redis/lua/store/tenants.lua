-- Tenants that take turns: each has so many places, and jobs beyond wait in a line for one of them to be given up. One that
-- waits is scheduled, for no time.
local release_scheduled

-- Names what has those of a line that are 'placed', or that are 'waiting'.
local function line_at(what, of)
  return PREFIX .. what .. ':' .. name_of(of.type, of.line)
end

-- Gives a queued job a place; or has it wait for one, and returns false.
local function take_place(job)
  if call('ZSCORE', line_at('placed', job), job.id) then
    return true
  end
  local places = tonumber(call('HGET', job_at(job.id), 'places'))
  if call('EXISTS', line_at('waiting', job)) == 0 and call('ZCARD', line_at('placed', job)) < places then
    call('ZADD', line_at('placed', job), job.number, job.id)
    return true
  end
  withdraw(job)
  move(job, 'scheduled', 'due', 'inf')
  call('ZADD', DUE, 'inf', job.id)
  call('ZADD', line_at('waiting', job), job.number, job.id)
  return false
end

-- Takes a job out of its line; returns whether it had a place there, and whether it waited for one.
local function leave_line(job)
  return call('ZREM', line_at('placed', job), job.id) == 1, call('ZREM', line_at('waiting', job), job.id) == 1
end

-- Has those of a line go to the outbox for whom there are places, and adds their entries to a list.
local function give_places(of, given)
  while of.line do
    local id = call('ZRANGE', line_at('waiting', of), 0, 0)[1]
    if not id or call('ZCARD', line_at('placed', of)) >= tonumber(call('HGET', job_at(id), 'places')) then
      break
    end
    local job = load_job(id)
    call('ZADD', line_at('placed', of), job.number, id)
    call('ZREM', line_at('waiting', of), id)
    given[#given + 1] = release_scheduled(job)
  end
end
