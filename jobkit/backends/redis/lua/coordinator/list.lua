-- Lists the live leases whose resource starts with a prefix. Takes the prefix. Answers as `standing` does.
local function run(a)
  return standing(below(a[1]))
end
