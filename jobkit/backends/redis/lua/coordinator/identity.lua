-- Answers what tells this coordinator from any other. Takes what it is from now on, where it is nothing yet.
local function run(a)
  call('SET', PREFIX .. 'identity', a[1], 'NX')
  return call('GET', PREFIX .. 'identity')
end
