-- Lists the oldest entries after a position that were made more than some seconds ago. Takes seconds, position, how
-- many. Answers {position, sequence or '', envelope, ...}.
local function run(a)
  local found = {}
  for _, entry in ipairs(call('XRANGE', OUTBOX, '(' .. a[2] .. '-0', '+', 'COUNT', a[3])) do
    -- One that seems to come from the future was made before the server's clock was set back.
    local age = NOW - entry[2][2]
    if age >= 0 and age <= tonumber(a[1]) then
      break
    end
    add_entry(found, entry)
  end
  return found
end
