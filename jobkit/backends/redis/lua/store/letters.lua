-- Dead letters, and jobs that end as one.
local DEAD = PREFIX .. 'dead'
local FINGERPRINTS = PREFIX .. 'fingerprints'

local function letter_at(number)
  return PREFIX .. 'letter:' .. number
end

local function letters_of(id)
  return PREFIX .. 'letters of:' .. id
end

-- Makes a letter of fields and values, of which those that are nil are left out.
local function write_letter(fields)
  local number = call('HINCRBY', STORE, 'letter', 1)
  for field, value in pairs(fields) do
    call('HSET', letter_at(number), field, value)
  end
  call('HSET', letter_at(number), 'died_at', MOMENT)
  call('ZADD', DEAD, number, number)
  if fields.id then
    call('ZADD', letters_of(fields.id), number, number)
  end
  block(fields.type, fields.key, fields.sequence, 1)
  return number
end

-- Deletes a letter; what its job is does not change.
local function delete_letter(number)
  local row = call('HMGET', letter_at(number), 'type', 'key', 'sequence', 'fingerprint', 'id')
  block(row[1], row[2], row[3], -1)
  if row[4] then
    call('HDEL', FINGERPRINTS, row[4])
  end
  call('ZREM', DEAD, number)
  if row[5] then
    call('ZREM', letters_of(row[5]), number)
  end
  call('DEL', letter_at(number))
end

-- Ends a job that has died for a reason. Where its turn was over, the next parked ones whose turn is over, too, come out.
local function die(job, reason)
  local scheduled = job.state == 'scheduled'
  -- First what a full server refuses: what only removes it would let through, and then all that follows.
  move(job, 'dead', 'finished_at', MOMENT, 'reason', reason)
  if scheduled then
    call('ZREM', DUE, job.id)
  end
  if job.opens == 0 then
    call('ZREM', EXPIRING, job.id)
  end
  block(job.type, job.key, job.sequence, 1)
  count_open(job, -1)
  leave(job)
  if job.key and job.sequence then
    local name = name_of(job.type, job.key)
    local committed = load_key(name).committed
    if tonumber(job.sequence) <= committed then
      leave_untold(release_next(name, committed + 1, {}))
    end
  end
  if job.group then
    leave_untold({count_member(job.group, 'unended', 'dead')})
  end
  give_places_untold(job)
  tell_end(job, 'dead')
end
