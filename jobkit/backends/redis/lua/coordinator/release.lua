-- Frees a resource if it is still held under this token and nonce, and tells those who wait for it, or for one of the
-- first few prefixes it lies below. Takes resource, token, nonce. Answers 1 or 0.
local MOST_TOPICS = 10

local function run(a)
  local resource, token, nonce = unpack(a)
  local lease = lease_of(resource)
  local held = call('HMGET', lease, 'token', 'nonce')
  if held[1] ~= token or held[2] ~= nonce then
    return 0
  end
  call('DEL', lease)
  call('ZREM', INDEX, resource)
  local topics = {resource}
  for slash in resource:gmatch('()/') do
    if #topics == MOST_TOPICS then
      break
    end
    topics[#topics + 1] = resource:sub(1, slash)
  end
  ring(unpack(topics))
  return 1
end
