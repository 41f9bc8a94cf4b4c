-- Answers the layout of each type that has one: {type, layout, ...}.
local function run()
  return call('HGETALL', PREFIX .. 'layouts')
end
