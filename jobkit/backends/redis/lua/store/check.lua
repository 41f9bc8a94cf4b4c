-- Sees that all the commands are permitted that write what is true: one that is refused in the midst of a script would
-- leave half of it written. Answers the version of the layout, which it sets where nothing is stored yet. Takes ours.
local function run(a)
  local row = PREFIX .. 'check'
  for _, command in ipairs({
    -- What is left of an earlier look that was broken off would be of another kind.
    {'DEL', row},
    {'HSET', row, 'a', '1'}, {'HSETNX', row, 'b', '1'}, {'HINCRBY', row, 'a', 1}, {'HDEL', row, 'a'}, {'DEL', row},
    {'ZADD', row, 0, 'a'}, {'ZREM', row, 'a'}, {'RPUSH', row, 'a'}, {'LTRIM', row, 1, -1},
    {'XADD', row, '1-0', 'a', '1'}, {'XDEL', row, '1-0'}, {'DEL', row},
    {'HGET', row, 'a'}, {'HMGET', row, 'a'}, {'HEXISTS', row, 'a'}, {'HLEN', row},
    {'EXISTS', row}, {'LRANGE', row, 0, 0}, {'LLEN', row}, {'ZCARD', row}, {'ZSCORE', row, 'a'}, {'ZRANGE', row, 0, 0},
    {'ZRANGEBYLEX', row, '-', '+'}, {'ZRANGEBYSCORE', row, '-inf', '+inf'},
    {'ZREVRANGEBYSCORE', row, '+inf', '-inf'}, {'XRANGE', row, '-', '+'}, {'XREVRANGE', row, '+', '-'}, {'XLEN', row},
    {'SET', row, '', 'PX', 1}, {'DEL', row},
  }) do
    call(unpack(command))
  end
  call('HSETNX', STORE, 'version', a[1])
  return call('HGET', STORE, 'version')
end
