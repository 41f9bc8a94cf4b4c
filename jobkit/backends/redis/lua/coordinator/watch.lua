-- Tells who holds a resource, or those below it where it ends in '/', and has its next release heard.
-- Takes resource, and for how many ms to be heard. Answers as `standing` does.
local function run(a)
  listen(topic_of(a[1]), a[2])
  return standing(a[1]:sub(-1) == '/' and below(a[1]) or {a[1]})
end
