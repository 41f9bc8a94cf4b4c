-- Counting, as the table `tallies` tells.

-- Also called in transactions of callers' own, which may run at another isolation level: there a row that another
-- transaction has changed since the beginning could not be added to.
CREATE OR REPLACE FUNCTION jobkit.tally(
    in_queued bigint DEFAULT 0, in_running bigint DEFAULT 0, in_parked bigint DEFAULT 0, in_committed bigint DEFAULT 0,
    in_dead bigint DEFAULT 0, in_outbox bigint DEFAULT 0, in_keys bigint DEFAULT 0, in_purged bigint DEFAULT 0,
    in_cancelled bigint DEFAULT 0, in_scheduled bigint DEFAULT 0
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    free tid;
BEGIN
    IF in_queued = 0 AND in_running = 0 AND in_parked = 0 AND in_committed = 0 AND in_dead = 0 AND in_outbox = 0
       AND in_keys = 0 AND in_purged = 0 AND in_cancelled = 0 AND in_scheduled = 0 THEN
        RETURN;
    END IF;
    IF current_setting('transaction_isolation') = 'read committed' THEN
        SELECT ctid INTO free FROM jobkit.tallies LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    IF free IS NULL THEN
        INSERT INTO jobkit.tallies (scheduled, queued, running, parked, committed, dead, purged, cancelled, outbox, keys)
        VALUES (in_scheduled, in_queued, in_running, in_parked, in_committed, in_dead, in_purged, in_cancelled, in_outbox, in_keys);
    ELSE
        UPDATE jobkit.tallies
        SET queued = queued + in_queued, running = running + in_running, parked = parked + in_parked,
            committed = committed + in_committed, dead = dead + in_dead, purged = purged + in_purged,
            cancelled = cancelled + in_cancelled, scheduled = scheduled + in_scheduled,
            outbox = outbox + in_outbox, keys = keys + in_keys
        WHERE ctid = free;
    END IF;
END $$;

-- Count the job's state in `was` down and in `becomes` up.
CREATE OR REPLACE FUNCTION jobkit.tally_state(was text, becomes text) RETURNS void LANGUAGE sql AS $$
    SELECT jobkit.tally(
        in_scheduled => (becomes = 'scheduled')::integer - (was = 'scheduled')::integer,
        in_queued => (becomes = 'queued')::integer - (was = 'queued')::integer,
        in_running => (becomes = 'running')::integer - (was = 'running')::integer,
        in_parked => (becomes = 'parked')::integer - (was = 'parked')::integer,
        in_committed => (becomes = 'committed')::integer - (was = 'committed')::integer,
        in_dead => (becomes = 'dead')::integer - (was = 'dead')::integer)
$$;

-- Make one of all tally rows that nobody holds, where there are more than a few.
CREATE OR REPLACE FUNCTION jobkit.fold_tallies() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM jobkit.tallies) <= 64 THEN
        RETURN;
    END IF;
    WITH free AS (
        SELECT ctid FROM jobkit.tallies FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM jobkit.tallies t USING free WHERE t.ctid = free.ctid RETURNING t.*
    )
    INSERT INTO jobkit.tallies (scheduled, queued, running, parked, committed, dead, purged, cancelled, outbox, keys)
    SELECT sum(scheduled), sum(queued), sum(running), sum(parked), sum(committed), sum(dead), sum(purged), sum(cancelled), sum(outbox),
           sum(keys)
    FROM taken
    HAVING count(*) > 0;
END $$;
