-- Accepts jobs in order. Takes what `accept` does for each; answers a list of its answers.
local function run(a)
  local answers = {}
  for at = 1, #a, ACCEPTED do
    answers[#answers + 1] = accept(a, at)
  end
  return answers
end
