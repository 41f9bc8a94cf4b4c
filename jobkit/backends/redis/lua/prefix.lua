-- What every script begins with. KEYS: the prefix of all of our keys, which names their slot too.
local PREFIX = KEYS[1]
local call = redis.call

-- The server's time in seconds, one moment for all calls of a request.
local TIME = call('TIME')
local NOW = TIME[1] + TIME[2] / 1000000

-- Wakes whoever waits for one of the topics, in whichever process. It is a hint, and fails nothing. Once for each
-- request is enough.
local notified = {}
local function notify(...)
  local wanted = {}
  if notified[(...)] then
    return
  end
  notified[(...)] = true
  for place, topic in ipairs({...}) do
    wanted[place] = PREFIX .. 'wanted:' .. topic
  end
  if call('DEL', unpack(wanted)) > 0 then
    redis.pcall('PUBLISH', PREFIX .. 'hints', (...))
  end
end

-- Has the next notification of a topic delivered, for so many milliseconds.
local function listen(topic, patience)
  call('SET', PREFIX .. 'wanted:' .. topic, '', 'PX', patience)
end
