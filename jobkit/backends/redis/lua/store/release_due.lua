-- Moves jobs that are due to the outbox, those first that were due first, and gives those that are ordered their sequences.
-- Takes how many. Answers {position, sequence or '', envelope}...
local function release(id)
  local job = load_job(id)
  if call('HGET', job_at(id), 'ordered') == '1' then
    job.sequence = next_sequence(load_key(name_of(job.type, job.key)))
    call('HSET', job_at(id), 'sequence', job.sequence)
  end
  call('ZREM', DUE, id)
  call('HDEL', job_at(id), 'due', 'ordered')
  move(job, 'queued')
  notify('job/' .. id)
  return {publish(job), job.sequence or '', call('HGET', ENVELOPES, id)}
end

local function run(a)
  local answer = {}
  for place, id in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', string.format('%.6f', NOW), 'LIMIT', 0, a[1])) do
    answer[place] = release(id)
  end
  return answer
end
