-- Schedules: a row for each, by name, and an index by when somebody is to look at it next.
local SCHEDULES = PREFIX .. 'schedules'
local SCHEDULES_DUE = PREFIX .. 'schedules_due'

local function schedule_at(name)
  return PREFIX .. 'schedule:' .. name
end

-- Answers {name, type, definition, revision, due or '', seen}.
local function schedule_row(name)
  local row = call('HMGET', schedule_at(name), 'type', 'definition', 'revision', 'due', 'seen')
  return {name, row[1], row[2], row[3], row[4] or '', row[5]}
end
