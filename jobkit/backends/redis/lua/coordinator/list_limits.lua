-- Lists the limits in use whose bucket starts with a prefix. Takes the prefix. Answers, for each, {bucket, count,
-- ms for how long a start counts or 0, used, ms until the first use ends, holder, ...}.
local function run(a)
  local buckets
  if a[1] == '' then
    buckets = call('ZRANGE', LIMITS, 0, -1)
  else
    buckets = call('ZRANGEBYLEX', LIMITS, '[' .. a[1], '(' .. a[1] .. '\255')
  end
  forget_idle(buckets)
  local found = {}
  for _, bucket in ipairs(buckets) do
    local used, ends_in = used_of(bucket)
    if used > 0 then
      local count, lasts = unpack(cmsgpack.unpack(call('HGET', TERMS, bucket)))
      local info = {bucket, count, lasts, used, ends_in}
      if lasts == '0' then
        for _, resource in ipairs(call('ZRANGE', uses_at(bucket), 0, -1)) do
          info[#info + 1] = resource
        end
      end
      found[#found + 1] = info
    end
  end
  return found
end
