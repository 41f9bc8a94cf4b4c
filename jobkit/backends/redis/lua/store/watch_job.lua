-- Has the next change of a job heard. Takes id, for how many ms. Answers what changes when it ends or progresses.
local function run(a)
  listen('job/' .. a[1], a[2])
  return call('HMGET', job_at(a[1]), 'state', 'progress', 'message', 'failed')
end
