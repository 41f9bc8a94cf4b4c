-- Replaces a type's layout. Takes the type, what the layout is to be before, '' for none, and what it is to be. Answers
-- whether it was so before.
local function run(a)
  if (call('HGET', PREFIX .. 'layouts', a[1]) or '') ~= a[2] then
    return 0
  end
  call('HSET', PREFIX .. 'layouts', a[1], a[3])
  return 1
end
