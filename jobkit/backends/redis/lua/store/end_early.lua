-- Jobs that end without having run to an end, as 'cancelled' or 'expired'. One that has to have begun by some time is in
-- EXPIRING until it begins.
-- What a job waited for goes like a group that was never declared whole.
local function abandon_awaited(id)
  local known = call('HMGET', group_at(id), 'parent', 'settled')
  if known[1] == id and not known[2] then
    call('ZADD', UNDECLARED, '-inf', id)
  end
end

local function end_early(job, state, by, reason)
  move(job, state, 'finished_at', MOMENT, 'ended_by', by, 'reason', reason)
  call('ZREM', DUE, job.id)
  call('ZREM', EXPIRING, job.id)
  settle(job)
  count_open(job, -1)
  leave(job)
  drop_checkpoints(job)
  -- Beyond what is given out a number cannot be told from the next, and nobody waits behind it.
  if job.key and job.sequence and tonumber(job.sequence) <= HIGHEST_GIVEN then
    give_up(load_key(name_of(job.type, job.key)), tonumber(job.sequence), tonumber(job.sequence))
  end
  abandon_awaited(job.id)
  if job.group then
    leave_untold({count_member(job.group, 'unended', state)})
  end
  give_places_untold(job)
  tell_end(job, state)
end

local function expire(job)
  end_early(job, 'expired', 'jobkit', 'it had not begun in time')
end
