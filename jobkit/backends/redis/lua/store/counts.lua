-- Counts everything. Answers the jobs by state (scheduled, queued, running, parked, committed, dead, cancelled, expired), then the outbox, the
-- in-flight table, what is parked, dead letters, keys.
local function run()
  return {
    call('ZCARD', state_at('scheduled')), call('ZCARD', state_at('queued')), call('ZCARD', state_at('running')), call('ZCARD', state_at('parked')),
    call('LLEN', ENDED) - (call('HGET', STORE, 'purged') or 0) - call('ZCARD', state_at('cancelled'))
      - call('ZCARD', state_at('expired')),
    call('ZCARD', state_at('dead')), call('ZCARD', state_at('cancelled')), call('ZCARD', state_at('expired')), call('XLEN', OUTBOX),
    call('HLEN', PREFIX .. 'shelved'),
    call('ZCARD', PARKED), call('ZCARD', DEAD), call('ZCARD', NAMES),
  }
end
