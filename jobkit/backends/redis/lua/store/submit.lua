-- Accepts jobs in order. Takes what `accept` does for each; answers a list of its answers, or {'refused', id, group or ''}
-- where nothing is written.
local function run(a)
  local refused = objection(a, 1)
  if refused then
    return {'refused', unpack(refused)}
  end
  local answers = {}
  for at = 1, #a, ACCEPTED do
    answers[#answers + 1] = accept(a, at)
  end
  return answers
end
