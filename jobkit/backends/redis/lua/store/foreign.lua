-- Jobs that were not submitted here, or were forgotten in a failover. Their sequences, which somebody else gave out, are
-- not given out again here, where they are among those that are. Those that lie between the last one given out here and
-- that of such a job are nobody's yet, and kept as holes: all others are some job's that was known here before.

local function holes_at(name)
  return PREFIX .. 'holes:' .. name
end

-- Returns the hole that a sequence lies in, with its ends, or nil.
local function hole_of(key, sequence)
  local hole = call('ZRANGEBYSCORE', holes_at(key.name), whole(sequence), '+inf', 'LIMIT', 0, 1)[1]
  if not hole then
    return nil
  end
  local first, last = hole:match('^(%d+) (%d+)$')
  if tonumber(first) > sequence then
    return nil
  end
  return hole, tonumber(first), tonumber(last)
end

-- Tells whether a sequence that is to come is another job's than one that is not known.
local function is_taken(key, sequence)
  sequence = tonumber(sequence or '0')
  return sequence > key.committed and sequence <= key.submitted and not hole_of(key, sequence)
end

local function add_hole(key, first, last)
  if first <= last then
    call('ZADD', holes_at(key.name), whole(last), whole(first) .. ' ' .. whole(last))
  end
end

-- Makes a sequence a job's own.
local function take_sequence(key, sequence)
  call('ZREMRANGEBYSCORE', holes_at(key.name), '-inf', whole(key.committed))
  if sequence > key.submitted then
    add_hole(key, math.max(key.submitted, key.committed) + 1, sequence - 1)
    key.submitted = sequence
    save_key(key, 'submitted', whole(sequence))
    return
  end
  local hole, first, last = hole_of(key, sequence)
  if hole then
    call('ZREM', holes_at(key.name), hole)
    add_hole(key, first, sequence - 1)
    add_hole(key, sequence + 1, last)
  end
end

local function insert_foreign(a, key, state)
  local job = insert_job(a, 1, state)
  local sequence = tonumber(job.sequence or '0')
  if sequence > 0 and sequence <= HIGHEST_GIVEN then
    take_sequence(key, sequence)
  end
  return job
end
