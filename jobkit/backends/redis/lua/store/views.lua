-- Rows as they are shown, each a list of fields in a fixed order; what is not there is nil.
local function job_row(id)
  local row = call('HMGET', job_at(id), 'type', 'key', 'sequence', 'state', 'owner', 'token', 'opens', 'failures',
    'progress', 'message', 'result', 'submitted_at', 'started_at', 'finished_at', 'ended_by', 'reason', 'due', 'unique', 'line', 'group')
  row[#row + 1] = row[#row] and call('HGET', group_at(row[#row]), 'parent')
  row[#row + 1] = call('ZSCORE', EXPIRING, id)
  local packed = call('HGET', ENVELOPES, id)
  row[#row + 1] = packed and packed:match('^[^\n]*')
  row[#row + 1] = row[19] and call('ZSCORE', PREFIX .. 'waiting:' .. name_of(row[1], row[19]), id)
  local kept = call('HMGET', job_at(id), 'trace', 'taken_over')
  row[#row + 1], row[#row + 2] = kept[1], kept[2]
  row[#row + 1] = id
  return row
end

local function letter_row(number)
  local row = call('HMGET', letter_at(number), 'id', 'type', 'key', 'sequence', 'reason', 'detail', 'failures', 'raw',
    'died_at', 'headers')
  row[#row + 1] = number
  return row
end

local function key_row(name)
  local row = call('HMGET', key_at(name), 'token', 'nonce', 'owner', 'submitted', 'committed', 'entries', 'trimmed', 'blobs')
  row[1] = row[1] or call('HGET', STORE, 'floor')
  row[#row + 1] = name
  return row
end

local function group_row(id)
  local row = call('HMGET', group_at(id), 'parent', 'on_failure', 'undeclared', 'abandoned', 'settled', 'unended', 'committed',
    'dead', 'purged', 'cancelled', 'expired')
  row[#row + 1] = id
  return row
end
