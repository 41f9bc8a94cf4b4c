-- Accepts jobs of which some have others tell of their ends, in place of `accept`, which need not know of any. Of each one
-- argument more is taken: what `end_notices` reads, or ''.
local accept_untold = accept
local ACCEPTED = ACCEPTED + 1

local function accept(a, at)
  local answer, notices = accept_untold(a, at), a[at + ACCEPTED - 1]
  if notices ~= '' and answer[1] == 'accepted' then
    call('HSET', job_at(a[at]), 'notices', notices)
  end
  return answer
end
