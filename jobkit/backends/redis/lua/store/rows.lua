-- Where the store keeps what it knows. All that has no bound of its own is in rows that `forget` removes, or is kept
-- until somebody acts on it. Times are texts in seconds. NONE stands for no key, as no key holds a NUL.
--   store               hash: version of the layout, floor and cursor of `forget`, and the last position and letter
--   keys                zset by name, score 0: "TYPE\0KEY" of every key that has a row
--   key:TYPE\0KEY       hash: the row; `touched` is there once it is one. `open` counts jobs that have yet to end
--   jobs                zset by number: ids of all jobs, in the order of their submission
--   job:ID              hash: the job
--   state:STATE         zset by number: ids of the jobs in that state, but for the committed ones
--   ended               list: ids of jobs that nobody has to act on, the first to come to that first
--   due                 zset by the time: ids of jobs that are scheduled
--   expiring            zset by the time: ids of jobs that have to have begun by then, and have not
--   unique              hash by "TYPE\0NAME": the id of the job that took this unique name last, until that is forgotten
--   envelopes           hash by id: the envelopes of the jobs that have yet to end, as they were packed
--   outbox              stream: ids of what is to be published; the id of an entry is its position
--   untold              list: positions in the outbox of entries that nobody was told of, the first made first
--   shelved             hash by id: partitions of jobs in flight; shelved:TYPE\0INDEX, zset by position, and by key
--   shelved as          hash by id: keys that jobs in flight are filed under, of those whose own is not known yet
--   shelved:TYPE\0INDEX\0KEY, zset by position; shelved keys:TYPE\0INDEX, zset of keys, score 0; and those of a key in
--   all of the partitions, shelved of:TYPE\0KEY, zset by position
--   parked              zset by number: ids; parked:TYPE\0KEY, zset of "SEQUENCE ID"; gaps, zset of names with any
--   dead                zset by number; letter:NUMBER, hash; letters of:ID, zset by number: those of a job; fingerprints, hash: numbers of letters of messages
--   blocked:TYPE\0KEY   hash by sequence: how many dead jobs and letters hold it up
--   skipped:TYPE\0KEY   zset by first sequence: "FIRST LAST" of the ranges given up, which neither overlap nor touch
--   layouts             hash by type: how many partitions it has, and how far a change of that has come
--   holes:TYPE\0KEY     zset by last sequence: "FIRST LAST" of the ranges below the last one known that are nobody's yet
--   group:ID            hash: the group that job ID closes: its parent, on_failure, whether it is held, how many members are
--   undeclared, unended, or have ended each way, whether it is settled or abandoned, and the number released up to
--   groups              zset by name, score 0: the ids of all groups
--   members:ID          zset by number: ids of the members of that group
--   groups of:ID        zset by name, score 0: the groups that the commit of job ID made
--   undeclared          zset by the time it was last added to: groups not all of whose members are declared
--   placed:TYPE\0LINE   zset by number: ids of the jobs that have the places of a tenant; LINE is 'PRIORITY TENANT'
--   waiting:TYPE\0LINE  zset by number: ids of those that wait for one
--   places awaited      hash by type: how many of its jobs do so
--   held                zset by name, score 0: groups that are whole, with members to release
--   pauses              hash by scope (type, partition or -1, key): since when, by whom and why
--   audit               hash by number: what people have done; `store` counts them in `actions`
--   coordinators        zset by time: the identities of those that workers go by
--   checkpoints:ID      hash by step, empty for a checkpoint: what the job keeps of its work, where it is `saved`
--   step files:TYPE\0KEY   hash by "ID\0STEP": the files of those that have any
--   log:, records:, as TYPE\0KEY   list and hash: what commits have written; so many of the log's first entries are `trimmed`
local STORE = PREFIX .. 'store'
local NAMES = PREFIX .. 'keys'
local JOBS = PREFIX .. 'jobs'
local ENDED = PREFIX .. 'ended'
local DUE = PREFIX .. 'due'
local EXPIRING = PREFIX .. 'expiring'
local ENVELOPES = PREFIX .. 'envelopes'
local UNIQUE = PREFIX .. 'unique'
local UNDECLARED = PREFIX .. 'undeclared'
local GROUPS = PREFIX .. 'groups'
local HELD = PREFIX .. 'held'
local PLACES_AWAITED = PREFIX .. 'places awaited'
local UNTOLD = PREFIX .. 'untold'
local NONE = '\0'
local MOMENT = string.format('%.6f', NOW)
local MICROSECONDS = math.floor(NOW * 1000000)
-- Sequences above are a foreign publisher's only, and cannot be told from the next.
local HIGHEST_GIVEN = 2 ^ 53 - 1

local function name_of(type, key)
  return type .. '\0' .. key
end

local function key_at(name)
  return PREFIX .. 'key:' .. name
end

local function job_at(id)
  return PREFIX .. 'job:' .. id
end

local function group_at(id)
  return PREFIX .. 'group:' .. id
end

local function state_at(state)
  return PREFIX .. 'state:' .. state
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Reads what most scripts ask of a key; `mark` is the floor where it has none of its own.
local function load_key(name)
  local row = call('HMGET', key_at(name), 'touched', 'token', 'nonce', 'committed', 'forgotten', 'entries', 'open',
    'submitted')
  return {
    name = name,
    exists = row[1] and true,
    mark = row[2] or call('HGET', STORE, 'floor') or '0',
    nonce = row[3],
    committed = tonumber(row[4] or '0'),
    forgotten = tonumber(row[5] or '0'),
    entries = tonumber(row[6] or '0'),
    open = tonumber(row[7] or '0'),
    submitted = tonumber(row[8] or '0'),
  }
end

-- Writes fields of a key that is used just now, which makes its row where there is none.
local function save_key(key, ...)
  if not key.exists then
    call('ZADD', NAMES, 0, key.name)
    key.exists = true
  end
  call('HSET', key_at(key.name), 'touched', MOMENT, ...)
end

-- Gives out the next sequence of a key.
local function next_sequence(key)
  key.submitted = key.submitted + 1
  save_key(key, 'submitted', whole(key.submitted))
  return whole(key.submitted)
end

local function is_mark(key, token, nonce)
  return key.mark == token and key.nonce == nonce
end

-- Counts a job of a key that has yet to end (step 1), or that has ended (step -1).
local function count_open(job, step)
  if job.key then
    call('HINCRBY', key_at(name_of(job.type, job.key)), 'open', step)
  end
end

-- Returns a job, or nil. What it has not got is nil or false.
local function load_job(id)
  local row = call('HMGET', job_at(id), 'state', 'number', 'sequence', 'token', 'nonce', 'opens', 'digest', 'type', 'key',
    'failures', 'priority', 'saved', 'group', 'line')
  if not row[1] then
    return nil
  end
  return {
    id = id, state = row[1], number = row[2], sequence = row[3] or nil, token = row[4], nonce = row[5],
    opens = tonumber(row[6] or '0'), digest = row[7], type = row[8], key = row[9] or nil, failures = row[10] or '',
    priority = row[11],
    saved = row[12],
    group = row[13] or nil,
    line = row[14] or nil,
  }
end

local function has_ended(job)
  return job.state == 'committed' or job.state == 'dead' or job.state == 'cancelled' or job.state == 'expired'
end

-- Returns a position above all earlier ones. It is no less than the time in microseconds, so that one whose entry was
-- lost in a crash is not used again, and nobody deletes a new entry in the place of that one.
local last_position = nil
local function next_position()
  last_position = math.max((last_position or tonumber(call('HGET', STORE, 'position') or '0')) + 1, MICROSECONDS)
  local position = whole(last_position)
  call('HSET', STORE, 'position', position)
  return position
end

-- Makes a job known that is not, and returns it. Its facts are arguments from `at` on: id, type, key or NONE, sequence
-- or '', digest, when it was submitted or '0', its trace or '', its schema, what tells of its end or '', its envelope.
local FACTS = 10
local function insert_job(a, at, state)
  local job = {id = a[at], type = a[at + 1], digest = a[at + 4], state = state, opens = 0, failures = ''}
  job.key = a[at + 2] ~= NONE and a[at + 2] or nil
  job.sequence = a[at + 3] ~= '' and a[at + 3] or nil
  job.number = next_position()
  -- A foreign publisher may not have said when.
  local submitted = tonumber(a[at + 5]) ~= 0 and a[at + 5] or MOMENT
  -- What is asked for most comes first: small rows are searched from the front.
  local row = {'state', state, 'number', job.number}
  for field, value in pairs({sequence = job.sequence, key = job.key}) do
    row[#row + 1], row[#row + 2] = field, value
  end
  call('HSET', job_at(job.id), 'digest', job.digest, 'type', job.type, 'submitted_at', submitted, 'trace', a[at + 6],
    'schema', a[at + 7], unpack(row))
  if a[at + 8] ~= '' then
    call('HSET', job_at(job.id), 'notices', a[at + 8])
  end
  call('HSET', ENVELOPES, job.id, a[at + 9])
  call('ZADD', JOBS, job.number, job.id)
  call('ZADD', state_at(state), job.number, job.id)
  count_open(job, 1)
  return job
end

-- Nobody has to act on a job any more, since now, which need not be when it ended: it is forgotten in its turn.
local function settle(job)
  call('HSET', job_at(job.id), 'settled', MOMENT)
  call('RPUSH', ENDED, job.id)
end

-- Says of a job that has ended, or is not due, how whoever comes with it is to be answered.
local function ended_as(job)
  return {(job.state == 'cancelled' or job.state == 'expired' or job.state == 'scheduled') and job.state or 'ended'}
end

-- Takes a job to another state and writes fields of it; from 'committed' there is no way.
local function move(job, state, ...)
  call('HSET', job_at(job.id), 'state', state, ...)
  if state == job.state then
    return
  end
  call('ZREM', state_at(job.state), job.id)
  if state ~= 'committed' then
    call('ZADD', state_at(state), job.number, job.id)
  end
  job.state = state
end

-- Names what has the jobs in flight of a key, wherever they are; `partition` is any of its type.
local function shelved_of(partition, key)
  return PREFIX .. 'shelved of:' .. name_of(string.match(partition, '^(.*)%z'), key)
end

-- Takes a job out of the in-flight table, if it is there.
local function unshelve(id)
  local partition = call('HGET', PREFIX .. 'shelved', id)
  if partition then
    local key = call('HGET', PREFIX .. 'shelved as', id) or call('HGET', job_at(id), 'key') or ''
    call('HDEL', PREFIX .. 'shelved as', id)
    local of_key = PREFIX .. 'shelved:' .. partition .. '\0' .. key
    call('HDEL', PREFIX .. 'shelved', id)
    call('ZREM', PREFIX .. 'shelved:' .. partition, id)
    call('ZREM', of_key, id)
    call('ZREM', shelved_of(partition, key), id)
    if call('EXISTS', of_key) == 0 then
      call('ZREM', PREFIX .. 'shelved keys:' .. partition, key)
    end
  end
end
