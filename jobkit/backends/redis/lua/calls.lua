-- What every script ends with. ARGV: for each call, how many arguments it has, then these.
-- Answers a list with the answer of each call; an error of one call is its own.
local answers = {}
local at = 1
while at <= #ARGV do
  local arguments = {}
  for place = 1, tonumber(ARGV[at]) do
    arguments[place] = ARGV[at + place]
  end
  at = at + #arguments + 1
  local fine, answer = pcall(run, arguments)
  if not fine then
    local text = tostring(type(answer) == 'table' and answer.err or answer)
    -- Before Redis 7 the place in the script comes first.
    answer = {err = text:match('^@?user_script: ?%d+: %-?(%u+ .*)$') or text}
  end
  answers[#answers + 1] = answer
end
return answers
