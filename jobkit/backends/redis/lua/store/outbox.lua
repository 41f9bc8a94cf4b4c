-- The outbox: entries leave in the order they came. An envelope packed before it had its sequence has it beside it.
local OUTBOX = PREFIX .. 'outbox'

local function publish(envelope, sequence)
  local position = next_position()
  call('XADD', OUTBOX, position .. '-0', 'made', MOMENT, 'sequence', sequence or '', 'envelope', envelope)
  return position
end

-- Adds position, sequence and envelope of a stream's entry to a list.
local function add_entry(found, entry)
  local place = #found
  found[place + 1] = entry[1]:match('^%d+')
  found[place + 2] = entry[2][4]
  found[place + 3] = entry[2][6]
end
