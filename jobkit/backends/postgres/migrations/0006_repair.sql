-- The repairs that only a command may do: requeue, resume, skip.

-- Put a dead letter's envelope into the outbox as it was, and return it; where it is a job's own, the job starts
-- afresh. NULL where there is no such letter, or none that could run.
CREATE FUNCTION jobkit.requeue_dead(in_number bigint, in_id text, in_digest bytea) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    letter record;
BEGIN
    PERFORM FROM jobkit.keys k JOIN jobkit.jobs j USING (type, key) WHERE j.id = in_id FOR UPDATE OF k;
    DELETE FROM jobkit.dead WHERE number = in_number AND envelope IS NOT NULL RETURNING envelope INTO letter;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE jobkit.jobs
    SET state = 'queued', token = NULL, nonce = NULL, owner = NULL, opens = 0, failed = 0, failures = NULL,
        attempts = NULL, progress = 0, message = '', started_at = NULL, finished_at = NULL, ended = NULL
    WHERE id = in_id AND digest = in_digest AND state = 'dead';
    IF FOUND THEN
        PERFORM jobkit.tally(in_queued => 1, in_dead => -1);
    END IF;
    INSERT INTO jobkit.outbox (made, envelope) VALUES (jobkit.clock(), letter.envelope);
    PERFORM jobkit.tally(in_outbox => 1);
    RETURN true;
END $$;

-- Move all of the key's parked jobs to the outbox, in order; return how many.
CREATE FUNCTION jobkit.resume_gap(in_type text, in_key text) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
BEGIN
    PERFORM FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE;
    -- Whatever the sequence, none is too high.
    RETURN jobkit.release_parked(in_type, in_key, 9223372036854775807, NULL);
END $$;

-- Give up the sequences below `in_before`, and release the parked jobs that can run then. Answers how many were
-- released, or NULL and the sequence expected where `in_before` does not lie above it.
CREATE FUNCTION jobkit.skip_gap(in_type text, in_key text, in_before bigint, OUT released integer, OUT expected bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    made boolean := jobkit.lock_key(in_type, in_key);
BEGIN
    SELECT committed + 1 INTO expected FROM jobkit.keys WHERE type = in_type AND key = in_key;
    IF in_before <= expected THEN
        IF made THEN
            DELETE FROM jobkit.keys WHERE type = in_type AND key = in_key;
        END IF;
        RETURN;
    END IF;
    PERFORM jobkit.tally(in_keys => made::integer);
    INSERT INTO jobkit.skipped (type, key, first, last) VALUES (in_type, in_key, expected, in_before - 1);
    -- What is submitted from now on comes after what was given up.
    UPDATE jobkit.keys
    SET committed = in_before - 1, submitted = greatest(submitted, in_before - 1), touched = jobkit.clock()
    WHERE type = in_type AND key = in_key;
    released := jobkit.release_parked(in_type, in_key, in_before, NULL);
END $$;
