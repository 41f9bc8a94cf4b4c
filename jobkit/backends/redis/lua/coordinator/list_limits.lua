-- Lists limits in use whose bucket starts with a prefix, a page at a time. Takes the prefix, the bucket after which to look
-- or '', and how many to look at. Answers {the bucket after which to look next, or '' at the end, one for each}, which is
-- {bucket, count, ms for how long a start counts or 0, used, ms until the first use ends, holder, ...}.
local function run(a)
  local from = a[2] ~= '' and '(' .. a[2] or a[1] ~= '' and '[' .. a[1] or '-'
  local buckets = call('ZRANGEBYLEX', LIMITS, from, a[1] == '' and '+' or '(' .. a[1] .. '\255', 'LIMIT', 0, a[3])
  forget_idle(buckets)
  local answer = {#buckets == tonumber(a[3]) and buckets[#buckets] or ''}
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
      answer[#answer + 1] = info
    end
  end
  return answer
end
