-- Returns one dead letter as `letter_row` does, or nil. Takes its number.
local function run(a)
  return call('EXISTS', letter_at(a[1])) == 1 and letter_row(a[1])
end
