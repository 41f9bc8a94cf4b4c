-- Notes that the start of a job under a fence ended with its worker alive. Takes id, nonce.
local function run(a)
  local row = job_at(a[1])
  local known = call('HMGET', row, 'state', 'nonce', 'silent')
  if not known[1] or has_ended({state = known[1]}) then
    return 0
  end
  if known[2] == a[2] then
    call('HSET', row, 'told', a[2])
  end
  local nonces = {}
  for nonce in (known[3] or ''):gmatch('%S+') do
    if nonce ~= a[2] then
      nonces[#nonces + 1] = nonce
    end
  end
  if known[3] then
    call('HSET', row, 'silent', table.concat(nonces, ' '))
  end
  return 1
end
