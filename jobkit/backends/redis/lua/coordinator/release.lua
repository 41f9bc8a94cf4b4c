-- Frees a resource if it is still held under this token and nonce, with its limits, and tells those who wait for them,
-- for it, or for one of the first few prefixes it lies below. Takes resource, token, nonce, and something more where
-- nothing has begun. Answers 1 or 0.
local MOST_TOPICS = 10

local function run(a)
  local resource, token, nonce, unused = unpack(a)
  local lease = held_lease(resource, token, nonce)
  if not lease then
    return 0
  end
  call('DEL', lease_at(resource))
  call('ZREM', INDEX, resource)
  for place = 4, #lease, 2 do
    if unused or lease[place + 1] == resource then
      call('ZREM', uses_at(lease[place]), lease[place + 1])
      notify(limit_topic(lease[place]))
    end
  end
  local topics = {topic_of(resource)}
  for slash in resource:gmatch('()/') do
    if #topics == MOST_TOPICS then
      break
    end
    topics[#topics + 1] = topic_of(resource:sub(1, slash))
  end
  notify(unpack(topics))
  return 1
end
