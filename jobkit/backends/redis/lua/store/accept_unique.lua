-- Accepts jobs of which some have unique names, in place of `accept`, which need not know of any. Of each one argument more
-- is taken: '', or while what it holds the name ('queued' or 'unfinished'), what becomes of one that does ('keep' or
-- 'replace'), and the name.
-- Answers what `accept` does; of what is accepted where another one was replaced, {'accepted', sequence or '', position or '',
-- when it is due or '', the id of that one}; or {'kept', the id of who holds the name, its key or NONE, its sequence or '', when
-- it is due or ''}.
local accept_unnamed = accept
local ACCEPTED = ACCEPTED + 1

local function claim(a, at, while_, conflict, name)
  local id, type = a[at], a[at + 1]
  local holder = holder_of(type, name)
  if holder and (holder.begun or conflict == 'keep') then
    return {'kept', holder.id, holder.key or NONE, holder.sequence or '', call('HGET', job_at(holder.id), 'due') or ''}
  end
  if holder then
    end_early(holder, 'cancelled', 'jobkit', 'replaced by ' .. id)
  end
  local answer = accept_unnamed(a, at)
  call('HSET', job_at(id), 'unique', name, 'unique_while', while_)
  call('HSET', UNIQUE, name_of(type, name), id)
  if holder then
    answer[4], answer[5] = answer[4] or '', holder.id
  end
  return answer
end

local function accept(a, at)
  local unique = a[at + ACCEPTED - 1]
  if unique == '' or call('EXISTS', job_at(a[at])) == 1 then
    -- Accepted before, or another job: either way it has no say in who holds the name.
    return accept_unnamed(a, at)
  end
  return claim(a, at, unique:match('^(%l+) (%l+) (.*)$'))
end
