-- The outbox: entries leave in the order they came, and a job has one at most, which ends with it. The first entry of a
-- job is at its number, a later one where its row says.
local OUTBOX = PREFIX .. 'outbox'

local function enter(id, position)
  call('XADD', OUTBOX, position .. '-0', 'made', MOMENT, 'id', id)
end

-- Takes a job out of the outbox, if it is there.
local function withdraw(job)
  call('XDEL', OUTBOX, (call('HGET', job_at(job.id), 'entry') or job.number) .. '-0')
end

-- Puts a job into the outbox, in the place of an entry that it may have, and returns the position.
local function publish(job)
  -- Taken out last: where memory is full, what takes some has to be refused before anything is written.
  local earlier = call('HGET', job_at(job.id), 'entry') or job.number
  local position = next_position()
  call('HSET', job_at(job.id), 'entry', position)
  enter(job.id, position)
  call('XDEL', OUTBOX, earlier .. '-0')
  return position
end

-- What of the outbox nobody was told of goes to a worker, which asks for it. Beyond so many it waits to be found there.
local UNTOLD_AT_MOST = 10000

-- Takes entries, as `release_scheduled` returns them, that the caller of the script is not told of.
local function leave_untold(entries)
  for _, entry in ipairs(entries) do
    call('RPUSH', UNTOLD, entry[1])
  end
  if #entries > 0 then
    call('LTRIM', UNTOLD, -UNTOLD_AT_MOST, -1)
  end
end

-- Adds position, sequence and envelope of a stream's entry to a list. Its envelope may have been packed before the job
-- had its sequence.
local function add_entry(found, entry)
  local id, place = entry[2][4], #found
  found[place + 1] = entry[1]:match('^%d+')
  found[place + 2] = call('HGET', job_at(id), 'sequence') or ''
  found[place + 3] = call('HGET', ENVELOPES, id)
end
