-- Lists the live workers. Answers as `members` does.
local function run()
  return members()
end
