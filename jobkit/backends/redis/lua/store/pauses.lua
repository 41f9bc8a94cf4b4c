-- Answers all that is paused: names of scopes, each followed by its pause.
local function run()
  return call('HGETALL', PREFIX .. 'pauses')
end
