-- The uses of limits, each with an end: a lease's is renewed with it, that of a start ends by itself.
--   limit:BUCKET        zset by resource of the lease, or nonce of the claim that began; score: ms when it ends
--   limits              zset by bucket, score 0; of some the uses may have ended
--   limit-terms         hash by bucket: {count, ms for how long a start counts or 0}, packed, as last declared
local LIMITS = PREFIX .. 'limits'
local TERMS = PREFIX .. 'limit-terms'
local NOW_MS = math.floor(NOW * 1000)

local function uses_at(bucket)
  return PREFIX .. 'limit:' .. bucket
end

-- No topic of a limit ends in "/", which has a meaning.
local function limit_topic(bucket)
  return 'limit/' .. bucket .. '='
end

-- Returns how many of a limit are used, and in how many ms the first of them ends.
local function used_of(bucket)
  local at = uses_at(bucket)
  call('ZREMRANGEBYSCORE', at, '-inf', NOW_MS)
  local first = call('ZRANGE', at, 0, 0, 'WITHSCORES')
  return call('ZCARD', at), first[2] and math.max(1, first[2] - NOW_MS) or 0
end

-- Uses a limit, and has the use go where it ends and nobody looks.
local function use(bucket, holder, milliseconds)
  local at = uses_at(bucket)
  call('ZADD', at, NOW_MS + milliseconds, holder)
  if call('PTTL', at) < tonumber(milliseconds) then
    call('PEXPIRE', at, milliseconds)
  end
end

-- Forgets those among the limits that nothing uses.
local function forget_idle(buckets)
  for _, bucket in ipairs(buckets) do
    if call('EXISTS', uses_at(bucket)) == 0 then
      call('ZREM', LIMITS, bucket)
      call('HDEL', TERMS, bucket)
    end
  end
end
