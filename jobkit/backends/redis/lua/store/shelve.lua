-- Keeps an envelope in the in-flight table until its job ends; one that has ended is not kept.
-- Takes id, type, index of the partition, envelope. Answers 1 or 0.
local function run(a)
  local id, partition = a[1], name_of(a[2], a[3])
  local job = load_job(id)
  if (job and has_ended(job)) or call('HSETNX', PREFIX .. 'shelved', id, partition) == 0 then
    return 0
  end
  call('HSET', PREFIX .. 'envelopes', id, a[4])
  call('ZADD', PREFIX .. 'shelved:' .. partition, next_position(), id)
  return 1
end
