-- Adds a failed attempt to a job's history, a line for each: its number, a space, and what is told of it. The job then
-- waits for the next one.
-- Takes id, type, key, token, nonce, attempt, failure, how many are kept, in how many seconds the job may be opened again,
-- and for how many its message is not missed. Answers {'failed', how many there are}, {'refused', mark} or {'unknown'}.
local function run(a)
  local row = job_at(a[1])
  local key = load_key(name_of(a[2], a[3]))
  if not is_mark(key, a[4], a[5]) then
    return {'refused', key.mark}
  end
  local known = call('HMGET', row, 'state', 'failed', 'failures', 'number')
  if not known[1] then
    return {'unknown'}
  end
  if has_ended({state = known[1]}) then
    return {'refused', a[4]}
  end
  local attempt, most = tonumber(a[6]), tonumber(a[8])
  local lines, lowest, noted = {}, math.huge, false
  for line in (known[3] or ''):gmatch('[^\n]+') do
    local number = tonumber(line:match('^%d+'))
    lines[#lines + 1] = line
    lowest = math.min(lowest, number)
    noted = noted or number == attempt
  end
  -- So old that it must have been noted, and been dropped since.
  if noted or (#lines == most and attempt < lowest) then
    return {'failed', known[2]}
  end
  lines[#lines + 1] = a[6] .. ' ' .. a[7]
  move({id = a[1], state = known[1], number = known[4]}, 'queued', 'failures',
    table.concat(lines, '\n', math.max(1, #lines - most + 1)), 'told', a[5], 'retry_at',
    string.format('%.6f', NOW + a[9]), 'delayed_until', string.format('%.6f', NOW + a[10]))
  -- Not before: a server that is full takes this one, and then lets the script go on.
  call('HDEL', row, 'progress', 'message', 'due', 'ordered')
  call('ZREM', DUE, a[1])
  notify('job/' .. a[1])
  return {'failed', call('HINCRBY', row, 'failed', 1)}
end
