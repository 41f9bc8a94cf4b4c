-- Jobs that are ended without having run to an end, and the turns that they give up.

-- Give up sequences of a key, together with those given up that they overlap or touch; return how many parked jobs that
-- released. Where the key waits for one of them it goes on behind. Where their turn was over, the next parked ones whose
-- turn is over, too, come out. The caller holds the lock of the key.
CREATE OR REPLACE FUNCTION jobkit.give_up(
    in_type text, in_key text, in_first bigint, in_last bigint, in_most integer
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done bigint;
    joined record;
BEGIN
    WITH touching AS (
        DELETE FROM jobkit.skipped
        WHERE type = in_type AND key = in_key AND first - 1 <= in_last AND last >= in_first - 1
          AND first >= coalesce((SELECT first FROM jobkit.skipped WHERE type = in_type AND key = in_key
                                 AND first <= in_first ORDER BY first DESC LIMIT 1), 0)
        RETURNING first, last
    )
    SELECT least(in_first, min(first)) AS first, greatest(in_last, max(last)) AS last INTO joined FROM touching;
    INSERT INTO jobkit.skipped (type, key, first, last) VALUES (in_type, in_key, joined.first, joined.last);
    SELECT committed INTO done FROM jobkit.keys WHERE type = in_type AND key = in_key;
    IF joined.first - 1 > done THEN
        RETURN 0;
    END IF;
    IF joined.last > done THEN
        done := joined.last;
        UPDATE jobkit.keys SET committed = done, touched = jobkit.clock() WHERE type = in_type AND key = in_key;
    END IF;
    IF EXISTS (SELECT FROM jobkit.parked WHERE type = in_type AND key = in_key) THEN
        RETURN jobkit.release_parked(in_type, in_key, done + 1, NULL, in_most);
    END IF;
    RETURN 0;
END $$;

-- Cancel jobs. One row for each that is known: whether it was cancelled here and now, its state before where it had ended
-- already, and the result of a committed one. Also called in transactions of callers' own.
CREATE OR REPLACE FUNCTION jobkit.cancel_jobs(in_ids text[], in_by text, in_reason text, in_most integer)
RETURNS TABLE (id text, cancelled boolean, state text, result bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    r record;
    j record;
    now double precision := jobkit.clock();
    entries bigint[] := '{}';
    gone integer := 0;
    queued integer := 0;
    running integer := 0;
    parked integer := 0;
BEGIN
    -- The keys first, in the one order, and then their jobs in the same.
    PERFORM FROM jobkit.keys k
    JOIN (SELECT DISTINCT w.type, w.key FROM jobkit.jobs w WHERE w.id = ANY (in_ids)) g USING (type, key)
    ORDER BY k.type, k.key FOR UPDATE OF k;
    FOR r IN
        SELECT w.id, w.type, w.key FROM jobkit.jobs w WHERE w.id = ANY (in_ids) ORDER BY w.type, w.key, w.number
    LOOP
        SELECT w.state, w.key, w.sequence, w.entry, w.result, w.ended INTO j FROM jobkit.jobs w
        WHERE w.id = r.id FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        IF j.key IS DISTINCT FROM r.key THEN
            -- It has found its key since, whose lock comes first.
            PERFORM jobkit.overtaken('the key of the job');
        END IF;
        id := r.id;
        cancelled := j.ended IS NULL;
        state := j.state;
        result := j.result;
        IF cancelled THEN
            UPDATE jobkit.jobs w
            SET state = 'cancelled', finished_at = now, ended = now, settled = now, ended_by = in_by,
                reason = in_reason, envelope = NULL
            WHERE w.id = r.id;
            DELETE FROM jobkit.inflight i WHERE i.id = r.id;
            entries := entries || j.entry;
            IF j.sequence IS NOT NULL THEN
                DELETE FROM jobkit.parked p WHERE p.id = r.id;
                PERFORM jobkit.give_up(r.type, r.key, j.sequence, j.sequence, in_most);
            END IF;
            queued := queued - (j.state = 'queued')::integer;
            running := running - (j.state = 'running')::integer;
            parked := parked - (j.state = 'parked')::integer;
            state := 'cancelled';
        END IF;
        RETURN NEXT;
    END LOOP;
    IF cardinality(entries) > 0 THEN
        -- In one order, as in `published`: both may be about the same entries.
        PERFORM FROM jobkit.outbox o WHERE o.position = ANY (entries) ORDER BY o.position FOR UPDATE;
        DELETE FROM jobkit.outbox o WHERE o.position = ANY (entries);
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    PERFORM jobkit.tally(in_queued => queued, in_running => running, in_parked => parked,
                         in_cancelled => -(queued + running + parked), in_outbox => -gone);
END $$;
