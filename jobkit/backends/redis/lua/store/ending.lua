-- Drops what a job keeps of its work, if it keeps anything.
local function drop_checkpoints(job)
  if not job.saved then
    return
  end
  local files = {}
  for _, step in ipairs(call('HKEYS', PREFIX .. 'checkpoints:' .. job.id)) do
    files[#files + 1] = job.id .. '\0' .. step
  end
  call('DEL', PREFIX .. 'checkpoints:' .. job.id)
  if #files > 0 then
    call('HDEL', PREFIX .. 'step files:' .. name_of(job.type, job.key), unpack(files))
  end
end

-- Ending a job everywhere: its row says how, and nothing else keeps it.
-- Counts a member of a group that has ended otherwise than it was; where it is known what groups are.
local count_member

local function leave(job)
  withdraw(job)
  unshelve(job.id)
  if job.key and job.sequence then
    unpark(name_of(job.type, job.key), place_in_order(job.sequence, job.id))
  end
  if job.line then
    leave_line(job)
  end
  call('HDEL', ENVELOPES, job.id)
  notify('job/' .. job.id)
end
