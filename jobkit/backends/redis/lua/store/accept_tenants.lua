-- Accepts jobs of which some are tenants', in place of `accept`, which need not know of any. Of each one two arguments more
-- are taken: the line that it waits in or '', and how many places are in that.
-- Answers what `accept` does; of what waits for a place, {'accepted', '', '', 'waits'}.
local accept_at_once = accept
local ACCEPTED = ACCEPTED + 2

local function accept(a, at)
  local answer, line = accept_at_once(a, at), a[at + ACCEPTED - 2]
  if line == '' or answer[1] ~= 'accepted' then
    return answer
  end
  call('HSET', job_at(a[at]), 'line', line, 'places', a[at + ACCEPTED - 1])
  if answer[3] ~= '' and not take_place(load_job(a[at])) then
    answer[3], answer[4] = '', 'waits'
  end
  return answer
end
