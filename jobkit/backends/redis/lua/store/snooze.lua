-- Puts an opened job back until so many seconds from now. Takes id, type, key, token, nonce, seconds. Answers as `put_back`.
local function run(a)
  local answer = put_back(a[1], a[2], a[3], a[4], a[5], string.format('%.6f', NOW + a[6]))
  return answer
end
