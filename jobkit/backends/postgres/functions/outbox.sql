-- The outbox: what is to be published, and what is.

-- Put a job into the outbox, in the place of an entry that it may have. `in_source` is the job whose commit tells of it; NULL where
-- whoever asks is told of it at once; empty where nobody is, so that `take_untold` hands it to a worker. The caller holds a lock
-- of the job's or of its key, and counts the job's state.
CREATE OR REPLACE FUNCTION jobkit.publish(in_id text, in_source text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    had integer;
    place bigint := nextval('jobkit.positions');
BEGIN
    DELETE FROM jobkit.outbox o USING jobkit.jobs j WHERE j.id = in_id AND o.position = j.entry;
    GET DIAGNOSTICS had = ROW_COUNT;
    INSERT INTO jobkit.outbox (position, made, source, id) VALUES (place, jobkit.clock(), in_source, in_id);
    UPDATE jobkit.jobs SET entry = place WHERE id = in_id;
    PERFORM jobkit.tally(in_outbox => 1 - had);
END $$;

-- Return entries that nobody was told of, oldest first, and have it that somebody was. Those that are locked end, or are published.
CREATE OR REPLACE FUNCTION jobkit.take_untold(in_limit integer)
RETURNS TABLE ("position" bigint, sequence bigint, envelope bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    positions bigint[];
BEGIN
    SELECT array_agg(u.position) INTO positions FROM (
        SELECT o.position FROM jobkit.outbox o WHERE o.source = '' ORDER BY o.position LIMIT in_limit FOR UPDATE SKIP LOCKED
    ) u;
    IF positions IS NOT NULL THEN
        UPDATE jobkit.outbox o SET source = NULL WHERE o.position = ANY (positions);
        RETURN QUERY
        SELECT o.position, j.sequence, j.envelope FROM jobkit.outbox o JOIN jobkit.jobs j ON j.id = o.id
        WHERE o.position = ANY (positions) ORDER BY o.position;
    END IF;
END $$;

-- Delete outbox entries that the broker has confirmed. In one order, since two relays may have published the same.
CREATE OR REPLACE FUNCTION jobkit.published(in_positions bigint[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    gone integer;
BEGIN
    PERFORM FROM jobkit.outbox WHERE position = ANY (in_positions) ORDER BY position FOR UPDATE;
    DELETE FROM jobkit.outbox WHERE position = ANY (in_positions);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM jobkit.tally(in_outbox => -gone);
END $$;
