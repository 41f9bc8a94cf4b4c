-- Tenants that take turns: each has so many places, and jobs beyond wait in a line for one of them to be given up. One that
-- waits is scheduled, for no time.
local release_scheduled

-- Names what has those of a line that are 'placed', or that are 'waiting'.
local function line_at(what, of)
  return PREFIX .. what .. ':' .. name_of(of.type, of.line)
end

-- Counts jobs of a type that wait for a place (step 1), or do so no more (step -1). Never below zero: some may have waited
-- before they were counted.
local function count_awaited(type, step)
  if call('HINCRBY', PLACES_AWAITED, type, step) <= 0 then
    call('HDEL', PLACES_AWAITED, type)
  end
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
  count_awaited(job.type, 1)
  return false
end

-- Takes a job out of its line; returns whether it had a place there, and whether it waited for one.
local function leave_line(job)
  local placed, waited = call('ZREM', line_at('placed', job), job.id), call('ZREM', line_at('waiting', job), job.id)
  if waited == 1 then
    count_awaited(job.type, -1)
  end
  return placed == 1, waited == 1
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
    count_awaited(of.type, -1)
    given[#given + 1] = release_scheduled(job)
  end
end

-- Does so where the caller of the script is told of none.
local function give_places_untold(of)
  local given = {}
  give_places(of, given)
  leave_untold(given)
end
