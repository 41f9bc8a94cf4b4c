-- Tells how much of a limit is used, and has the next release heard. Takes bucket, and for how many ms to be heard.
-- Answers {used, ms until the first use ends}.
local function run(a)
  listen(limit_topic(a[1]), a[2])
  return {used_of(a[1])}
end
