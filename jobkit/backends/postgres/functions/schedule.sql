-- Jobs that are to run later: they wait in an index by the time they are due, and then go to the outbox.

-- Release jobs that are due, `in_limit` at most, those first that were due first, and give those that are ordered their
-- sequences. Answers their outbox entries.
CREATE OR REPLACE FUNCTION jobkit.release_due(in_limit integer)
RETURNS TABLE ("position" bigint, sequence bigint, envelope bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    ids text[];
    given record;
    turn bigint;
    released integer := 0;
    new_keys integer := 0;
BEGIN
    SELECT array_agg(d.id ORDER BY d.due, d.number) INTO ids
    FROM (
        SELECT id, due, number FROM jobkit.jobs
        WHERE ended IS NULL AND due IS NOT NULL AND due <= jobkit.clock() ORDER BY due, number LIMIT in_limit
    ) d;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    -- The keys first, as everywhere.
    FOR given IN
        SELECT DISTINCT j.type, j.key FROM jobkit.jobs j WHERE j.id = ANY (ids) AND j.ordered ORDER BY 1, 2
    LOOP
        new_keys := new_keys + jobkit.lock_key(given.type, given.key)::integer;
    END LOOP;
    FOR given IN
        SELECT j.id, j.type, j.key, j.ordered FROM jobkit.jobs j
        WHERE j.id = ANY (ids) AND j.ended IS NULL AND j.due IS NOT NULL ORDER BY j.due, j.number FOR UPDATE
    LOOP
        turn := NULL;
        IF given.ordered THEN
            UPDATE jobkit.keys SET submitted = submitted + 1, touched = jobkit.clock()
            WHERE type = given.type AND key = given.key RETURNING submitted INTO turn;
        END IF;
        UPDATE jobkit.jobs SET state = 'queued', due = NULL, ordered = NULL, sequence = turn WHERE id = given.id;
        PERFORM jobkit.publish(given.id, NULL);
        released := released + 1;
        RETURN QUERY
        SELECT o.position, w.sequence, w.envelope FROM jobkit.jobs w JOIN jobkit.outbox o ON o.position = w.entry
        WHERE w.id = given.id;
    END LOOP;
    PERFORM jobkit.tally(in_scheduled => -released, in_queued => released, in_keys => new_keys);
END $$;
