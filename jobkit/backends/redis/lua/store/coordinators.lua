-- Answers the identities of the coordinators noted in the last so many seconds.
local function run(a)
  return call('ZRANGEBYSCORE', PREFIX .. 'coordinators', string.format('%.6f', NOW - a[1]), '+inf')
end
