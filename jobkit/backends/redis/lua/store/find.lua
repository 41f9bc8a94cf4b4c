-- Lists jobs that match, the latest first, a page at a time. Takes type or NONE, key or NONE, state or '', what the worker's
-- name begins with or '', a part of an error or '', since and until or '', how far clocks are apart, a tag or '', what tags
-- are called beside the trace context, the number below which to look or '' for the latest, how many to look at, how many to find. Answers {the number below which to look next,
-- or '' at the end, rows...}.
local function says(text, part)
  return text and string.find(string.lower(text), part, 1, true) ~= nil
end

local function failed_with(reason, failures, part)
  if says(reason, part) then
    return true
  end
  for line in string.gmatch(failures or '', '[^\n]+') do
    if says(cjson.decode(string.match(line, ' (.*)')).error, part) then
      return true
    end
  end
  return false
end

-- Halves the ranks until it has found the first job that was submitted after a time; answers its number.
local function submitted_after(index, at)
  local low, high = 0, call('ZCARD', index)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local id = call('ZRANGE', index, middle, middle)[1]
    if tonumber(call('HGET', job_at(id), 'submitted_at')) > at then
      high = middle
    else
      low = middle + 1
    end
  end
  return call('ZRANGE', index, low, low, 'WITHSCORES')[2] or '+inf'
end

-- Tells whether what is kept of a trace context has a tag beside it.
local function is_tagged(trace, name, tag)
  local tags = trace and trace:sub(1, 1) == '{' and cjson.decode(trace)[name]
  return tags and string.find(' ' .. tags .. ' ', ' ' .. tag .. ' ', 1, true) ~= nil
end

local function run(a)
  local type, key, state, worker, part, below = a[1], a[2], a[3], a[4], string.lower(a[5]), a[11]
  local since, until_, apart = tonumber(a[6]), tonumber(a[7]), tonumber(a[8])
  local index = (state == '' or state == 'committed') and JOBS or state_at(state)
  if below == '' then
    below = until_ and submitted_after(index, until_ + apart) or '+inf'
  end
  local looked = call('ZREVRANGEBYSCORE', index, '(' .. below, '-inf', 'WITHSCORES', 'LIMIT', 0, a[12])
  local answer, at = {''}, nil
  for place = 1, #looked, 2 do
    local job = call('HMGET', job_at(looked[place]), 'type', 'key', 'state', 'owner', 'submitted_at', 'reason', 'failures', 'trace')
    at = tonumber(job[5])
    if (type == NONE or job[1] == type) and (key == NONE or job[2] == key) and (state == '' or job[3] == state)
      and (worker == '' or string.sub(job[4] or '', 1, #worker) == worker)
      and (not since or at >= since) and (not until_ or at <= until_)
      and (part == '' or failed_with(job[6], job[7], part)) and (a[9] == '' or is_tagged(job[8], a[10], a[9])) then
      answer[#answer + 1] = job_row(looked[place])
    end
    answer[1] = whole(tonumber(looked[place + 1]))
    if #answer > tonumber(a[13]) then
      return answer
    end
  end
  if #looked < 2 * a[12] or (since and at < since - apart) then
    answer[1] = ''
  end
  return answer
end
