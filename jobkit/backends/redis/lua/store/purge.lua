-- Deletes a dead letter for good. Takes its number. Answers 1, or 0 where there is none.
local function run(a)
  if call('EXISTS', letter_at(a[1])) == 0 then
    return 0
  end
  delete_letter(a[1])
  return 1
end
