-- Ending a job everywhere: its row says how, and nothing else keeps it.
-- Counts a member of a group that has ended otherwise than it was; where it is known what groups are.
local count_member

local function leave(job)
  withdraw(job)
  unshelve(job.id)
  if job.key and job.sequence then
    unpark(name_of(job.type, job.key), place_in_order(job.sequence, job.id))
  end
  call('HDEL', ENVELOPES, job.id)
  notify('job/' .. job.id)
end
