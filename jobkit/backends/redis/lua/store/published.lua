-- Deletes entries of the outbox. Takes positions. Answers how many there were.
local function run(a)
  local deleted = 0
  for _, position in ipairs(a) do
    deleted = deleted + call('XDEL', OUTBOX, position .. '-0')
  end
  return deleted
end
