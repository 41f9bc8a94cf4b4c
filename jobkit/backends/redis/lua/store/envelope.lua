-- Answers {envelope, sequence or ''} of a job that has yet to end, or nothing. Takes id.
local function run(a)
  local packed = call('HGET', ENVELOPES, a[1])
  return packed and {packed, call('HGET', job_at(a[1]), 'sequence') or ''}
end
