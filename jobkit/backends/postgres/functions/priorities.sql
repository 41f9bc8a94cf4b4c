-- Changing the priority of jobs that wait.

-- Change the priority of jobs whose envelopes have these first lines still, and give them others; those that are due go
-- to the outbox. One row for each that is known: its state, 'changed' or 'left' (it runs, has ended, or has a place in
-- the order of its key; or it was not to be changed, having no new line), or 'again' (its envelope is another one by
-- now), and the place of its entry in the outbox.
CREATE OR REPLACE FUNCTION jobkit.reprioritize(in_ids text[], in_heads bytea[], in_new bytea[], in_priority text)
RETURNS TABLE (id text, state text, answer text, "position" bigint) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    j record;
    ends_at integer;
BEGIN
    -- The keys first, in the one order, and then their jobs in the same.
    PERFORM FROM jobkit.keys k
    JOIN (SELECT DISTINCT w.type, w.key FROM jobkit.jobs w WHERE w.id = ANY (in_ids)) g USING (type, key)
    ORDER BY k.type, k.key FOR UPDATE OF k;
    FOR j IN
        SELECT w.id, w.state, w.sequence, w.ordered, w.envelope, w.line, g.head, g.new
        FROM unnest(in_ids, in_heads, in_new) AS g (id, head, new) JOIN jobkit.jobs w ON w.id = g.id
        ORDER BY w.type, w.key, w.number FOR UPDATE OF w
    LOOP
        id := j.id; state := j.state; position := NULL;
        ends_at := position('\x0a'::bytea IN j.envelope);
        IF j.state NOT IN ('queued', 'scheduled') OR j.sequence IS NOT NULL OR j.ordered OR j.new IS NULL THEN
            answer := 'left';
        ELSIF substring(j.envelope FROM 1 FOR ends_at - 1) <> j.head THEN
            answer := 'again';
        ELSE
            answer := 'changed';
            UPDATE jobkit.jobs w SET priority = in_priority, envelope = j.new || substring(j.envelope FROM ends_at)
            WHERE w.id = j.id;
            IF j.line IS NOT NULL THEN
                position := jobkit.change_line(j.id, in_priority || substring(j.line FROM position(' ' IN j.line)));
            ELSIF j.state = 'queued' THEN
                PERFORM jobkit.publish(j.id, NULL);
                SELECT w.entry INTO position FROM jobkit.jobs w WHERE w.id = j.id;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
