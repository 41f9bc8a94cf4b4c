-- Answers the time.
local function run()
  return string.format('%.6f', NOW)
end
