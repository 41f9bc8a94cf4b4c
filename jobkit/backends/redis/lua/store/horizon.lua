-- Answers the highest number of a job.
local function run()
  local last = call('ZREVRANGEBYSCORE', JOBS, '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return last[2] and whole(tonumber(last[2])) or '0'
end
