-- Notes what a person has done, and forgets those that are too many. Takes what is said of it, and how many are kept.
-- Answers {number, time, what is said}.
local function run(a)
  local number = call('HINCRBY', STORE, 'actions', 1)
  call('HSET', PREFIX .. 'audit', number, MOMENT .. ' ' .. a[1])
  call('HDEL', PREFIX .. 'audit', number - tonumber(a[2]))
  return {whole(number), MOMENT, a[1]}
end
