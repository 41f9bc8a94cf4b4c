-- Returns one job as `job_row` does, or nil. Takes id.
local function run(a)
  return call('EXISTS', job_at(a[1])) == 1 and job_row(a[1])
end
