-- Has the next entry of the outbox heard. Takes for how many ms. Answers the highest position there is.
local function run(a)
  listen('outbox', a[1])
  local last = call('XREVRANGE', OUTBOX, '+', '-', 'COUNT', 1)[1]
  return last and last[1]:match('^%d+') or '0'
end
