-- Accepts jobs of which some close groups, or are members of some, in place of `accept`, which need not know of any. Of each
-- one two arguments more are taken: what it says of the group that it closes ('ON_FAILURE MEMBERS HELD') or '', and the group
-- that it is a member of or ''.
local accept_ungrouped = accept
local ACCEPTED = ACCEPTED + 2

-- Returns the id of a job that cannot be accepted, with the group that it cannot be a member of or '', or nil. It is asked
-- before anything is written.
local function objection(a, first)
  local seen, room = {}, {}
  for at = first, #a, ACCEPTED do
    local id, digest, closes, group = a[at], a[at + 4], a[at + ACCEPTED - 2], a[at + ACCEPTED - 1]
    local known = seen[id]
    if not known then
      local row = call('HMGET', job_at(id), 'digest', 'group')
      local said = call('HMGET', group_at(id), 'on_failure', 'members', 'held')
      known = row[1] and {row[1], row[2] or '', said[1] and table.concat(said, ' ') or ''}
    end
    if known then
      -- A group that is one's own by now is that of the member that made it.
      if (closes ~= '' or group ~= '') and (known[1] ~= digest or known[3] ~= closes or (group ~= '' and known[2] ~= group)) then
        return {id, group}
      end
    else
      if closes ~= '' then
        room[id] = tonumber(closes:match(' (%d+) '))
      end
      if group ~= '' then
        if not room[group] then
          local row = call('HMGET', group_at(group), 'undeclared', 'abandoned')
          room[group] = row[2] and 0 or tonumber(row[1] or '0')
        end
        if room[group] == 0 then
          return {id, group}
        end
        room[group] = room[group] - 1
      end
      seen[id] = {digest, group, closes}
    end
  end
  return nil
end

local function join(id, group)
  call('HSET', job_at(id), 'group', group)
  call('ZADD', PREFIX .. 'members:' .. group, call('HGET', job_at(id), 'number'), id)
end

-- `source` is the job whose commit makes the group, or nil: where that is a member of one, this takes its place.
local function close(id, closes, source)
  local on_failure, members, held = closes:match('^(%l+) (%d+) (%d)$')
  call('HSET', group_at(id), 'on_failure', on_failure, 'members', members, 'undeclared', members, 'unended', members,
    'held', held, unpack(source and {'parent', source.id} or {}))
  call('ZADD', GROUPS, 0, id)
  call('HSET', job_at(id), 'closes', '1')
  call('ZADD', UNDECLARED, MOMENT, id)
  if source then
    call('ZADD', PREFIX .. 'groups of:' .. source.id, 0, id)
    if source.group then
      join(id, source.group)
      count_member(source.group, nil, 'unended')
    end
  end
end

local function declare(id, group)
  join(id, group)
  if call('HINCRBY', group_at(group), 'undeclared', -1) > 0 then
    call('ZADD', UNDECLARED, MOMENT, group)
    return
  end
  call('ZREM', UNDECLARED, group)
  if call('HGET', group_at(group), 'held') == '1' then
    call('ZADD', HELD, 0, group)
  end
end

local function accept(a, at, source)
  local answer = accept_ungrouped(a, at)
  if answer[1] == 'accepted' then
    local closes, group = a[at + ACCEPTED - 2], a[at + ACCEPTED - 1]
    if closes ~= '' then
      close(a[at], closes, source)
    end
    if group ~= '' then
      declare(a[at], group)
    end
  end
  return answer
end
