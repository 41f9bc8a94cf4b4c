-- Frees a resource if it is still held under this token and nonce, and tells those who wait for it, or for one of the
-- first few prefixes it lies below. Takes resource, token, nonce. Answers 1 or 0.
local MOST_TOPICS = 10

local function run(a)
  local resource, token, nonce = unpack(a)
  if not is_held(resource, token, nonce) then
    return 0
  end
  call('DEL', lease_at(resource))
  call('ZREM', INDEX, resource)
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
