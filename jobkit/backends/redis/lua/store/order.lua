-- What stands in the way of a key's order: sequences given up, dead jobs, and jobs parked behind them.
local GAPS = PREFIX .. 'gaps'
local PARKED = PREFIX .. 'parked'
local SEQUENCE_DIGITS = 19

local function parked_at(name)
  return PREFIX .. 'parked:' .. name
end

local function skipped_at(name)
  return PREFIX .. 'skipped:' .. name
end

local function is_skipped(name, sequence)
  local ranges = call('ZREVRANGEBYSCORE', skipped_at(name), sequence, '-inf', 'LIMIT', 0, 1)
  return ranges[1] and tonumber(sequence) <= tonumber(ranges[1]:match(' (%d+)$'))
end

-- Tells whether a sequence of the key will not come by itself.
local function is_blocked(name, expected)
  return call('EXISTS', parked_at(name)) == 1 or call('HEXISTS', PREFIX .. 'blocked:' .. name, whole(expected)) == 1
end

-- Counts a dead job or letter that holds up a sequence (step 1), or one that does so no more (step -1).
local function block(type, key, sequence, step)
  if type and key and sequence then
    local row = PREFIX .. 'blocked:' .. name_of(type, key)
    if call('HINCRBY', row, sequence, step) == 0 then
      call('HDEL', row, sequence)
    end
  end
end

-- Sorts as text in the order of sequences, whose numbers may be larger than Lua can tell apart, then of ids.
local function place_in_order(sequence, id)
  return string.rep('0', SEQUENCE_DIGITS - #sequence) .. sequence .. id
end

-- Takes a job from among the parked ones, if it is there.
local function unpark(name, place)
  if call('ZREM', parked_at(name), place) == 1 then
    call('ZREM', PARKED, place:sub(SEQUENCE_DIGITS + 1))
    if call('EXISTS', parked_at(name)) == 0 then
      call('ZREM', GAPS, name)
    end
  end
end

-- Moves a parked job to the outbox.
local function release(name, place)
  local job = load_job(place:sub(SEQUENCE_DIGITS + 1))
  unpark(name, place)
  if job.state == 'parked' then
    move(job, 'queued')
  end
  notify('job/' .. job.id)
  return {publish(job), job.sequence or '', call('HGET', ENVELOPES, job.id)}
end

-- So many go at a time, however many wait: each brings the next.
local RELEASED = 32

-- Moves the next parked jobs, from sequence `expected` on without a gap, to the outbox in order. Those below it go too:
-- their turn is over, and opening them says what becomes of them. Adds the entries to a list.
local function release_next(name, expected, released)
  for _, place in ipairs(call('ZRANGE', parked_at(name), 0, RELEASED - 1)) do
    local sequence = tonumber(place:sub(1, SEQUENCE_DIGITS))
    if sequence > expected then
      break
    end
    expected = math.max(expected, sequence + 1)
    released[#released + 1] = release(name, place)
  end
  return released
end

-- Returns the sequence that a key has come to once this one is over: what was given up behind it is passed over.
local function passed(name, sequence)
  local range = call('ZRANGEBYSCORE', skipped_at(name), whole(sequence + 1), whole(sequence + 1))[1]
  return range and tonumber(range:match(' (%d+)$')) or sequence
end

-- Writes a range of sequences given up, together with those that it overlaps or touches; returns what it is then.
local function join_ranges(name, first, last)
  local touching = call('ZRANGEBYSCORE', skipped_at(name), whole(first), whole(last + 1))
  touching[#touching + 1] = call('ZREVRANGEBYSCORE', skipped_at(name), '(' .. whole(first), '-inf', 'LIMIT', 0, 1)[1]
  for _, range in ipairs(touching) do
    local from, to = range:match('^(%d+) (%d+)$')
    if tonumber(to) >= first - 1 then
      first, last = math.min(first, tonumber(from)), math.max(last, tonumber(to))
      call('ZREM', skipped_at(name), range)
    end
  end
  call('ZADD', skipped_at(name), whole(first), whole(first) .. ' ' .. whole(last))
  return first, last
end

-- Gives up sequences of a key; answers how many parked jobs that released. Where the key waits for one of them it goes on
-- behind. Where their turn was over, the next parked ones whose turn is over, too, come out.
local function give_up(key, first, last)
  first, last = join_ranges(key.name, first, last)
  if first > key.committed + 1 then
    return 0
  end
  if last > key.committed then
    key.committed = last
    save_key(key, 'committed', whole(last))
  end
  local released = release_next(key.name, key.committed + 1, {})
  leave_untold(released)
  return #released
end
