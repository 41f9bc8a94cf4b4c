-- Answers the number of a job, or nothing. Takes id.
local function run(a)
  return call('HGET', job_at(a[1]), 'number')
end
