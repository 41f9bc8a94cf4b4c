-- Attempts that failed, jobs that are given up, set aside or moved out of their delivery, and messages that never were
-- jobs. Each function changes one job, under the lock of its key.

-- Lock the key and return its mark where that is not the fence given, else NULL.
CREATE FUNCTION jobkit.refusal(in_type text, in_key text, in_token bigint, in_nonce text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    k record;
BEGIN
    SELECT token, nonce INTO k FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE;
    IF NOT FOUND THEN
        RETURN (SELECT floor FROM jobkit.retention);
    END IF;
    RETURN CASE WHEN k.token = in_token AND k.nonce = in_nonce THEN NULL ELSE k.token END;
END $$;

-- Count the job's state in `was` down and in `becomes` up.
CREATE FUNCTION jobkit.tally_state(was text, becomes text) RETURNS void LANGUAGE sql AS $$
    SELECT jobkit.tally(
        in_queued => (becomes = 'queued')::integer - (was = 'queued')::integer,
        in_running => (becomes = 'running')::integer - (was = 'running')::integer,
        in_parked => (becomes = 'parked')::integer - (was = 'parked')::integer,
        in_committed => (becomes = 'committed')::integer - (was = 'committed')::integer,
        in_dead => (becomes = 'dead')::integer - (was = 'dead')::integer)
$$;

-- Add a failed attempt to the job's history, of which the latest `in_kept` are kept. Answers 'failed' with how many it
-- has now, 'refused' with the mark, or 'unknown'.
CREATE FUNCTION jobkit.fail_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_attempt integer, in_failure text,
    in_kept integer, OUT answer text, OUT number bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    j record;
BEGIN
    number := jobkit.refusal(in_type, in_key, in_token, in_nonce);
    IF number IS NOT NULL THEN
        answer := 'refused';
        RETURN;
    END IF;
    SELECT failed, coalesce(failures, '{}') AS failures, coalesce(attempts, '{}') AS attempts INTO j
    FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        answer := 'unknown';
        RETURN;
    END IF;
    answer := 'failed';
    number := j.failed;
    -- Noted already, or so old that it must have been.
    IF in_attempt = ANY (j.attempts)
       OR (cardinality(j.attempts) = in_kept AND in_attempt < (SELECT min(a) FROM unnest(j.attempts) a)) THEN
        RETURN;
    END IF;
    number := number + 1;
    UPDATE jobkit.jobs
    SET failed = failed + 1,
        failures = (j.failures || in_failure)[greatest(1, cardinality(j.failures) + 2 - in_kept):],
        attempts = (j.attempts || in_attempt)[greatest(1, cardinality(j.attempts) + 2 - in_kept):]
    WHERE id = in_id;
END $$;

-- End a job in the dead letters.
CREATE FUNCTION jobkit.end_job(in_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM jobkit.tally_state(state, 'dead') FROM jobkit.jobs WHERE id = in_id;
    UPDATE jobkit.jobs SET state = 'dead', finished_at = jobkit.clock(), ended = jobkit.clock() WHERE id = in_id;
    -- What has ended is neither in flight nor parked, however it came to its end.
    DELETE FROM jobkit.inflight WHERE id = in_id;
    DELETE FROM jobkit.parked WHERE id = in_id;
END $$;

-- Dead-letter a job with its history. Answers 'dead', 'duplicate' (it has ended already and is left as it is),
-- 'refused' with the mark, or 'unknown'.
CREATE FUNCTION jobkit.bury_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_reason text, in_detail text,
    in_raw bytea, in_envelope bytea, OUT answer text, OUT number bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    refused bigint := jobkit.refusal(in_type, in_key, in_token, in_nonce);
    j record;
BEGIN
    SELECT state, sequence, failures INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF j.state IN ('committed', 'dead') THEN
        answer := 'duplicate';
    ELSIF refused IS NOT NULL THEN
        answer := 'refused';
        number := refused;
    ELSIF j.state IS NULL THEN
        answer := 'unknown';
    ELSE
        INSERT INTO jobkit.dead (id, type, key, sequence, reason, detail, failures, raw, envelope, died_at)
        VALUES (in_id, in_type, in_key, j.sequence, in_reason, in_detail, j.failures, in_raw, in_envelope,
                jobkit.clock());
        PERFORM jobkit.end_job(in_id);
        answer := 'dead';
    END IF;
END $$;

-- Dead-letter a message; the same message for the same reason makes one letter, so that asking again is safe.
CREATE FUNCTION jobkit.bury_message(
    in_id text, in_type text, in_key text, in_sequence bigint, in_digest bytea, in_reason text, in_detail text,
    in_raw bytea, in_envelope bytea, in_fingerprint bytea
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    j record;
BEGIN
    -- The job itself ends too where its turn is over, skipped or taken: else it would be shown as waiting for ever.
    SELECT type, key INTO j FROM jobkit.jobs WHERE id = in_id AND digest = in_digest AND ended IS NULL;
    IF FOUND THEN
        PERFORM FROM jobkit.keys WHERE type = j.type AND key = j.key FOR UPDATE;
        IF EXISTS (SELECT FROM jobkit.jobs w JOIN jobkit.keys k USING (type, key)
                   WHERE w.id = in_id AND w.ended IS NULL AND w.sequence <= k.committed) THEN
            PERFORM jobkit.end_job(in_id);
        END IF;
    END IF;
    -- Else its partition's leader would adopt the same message again and again.
    DELETE FROM jobkit.inflight WHERE id = in_id AND envelope = in_envelope;
    INSERT INTO jobkit.dead (id, type, key, sequence, reason, detail, raw, envelope, died_at, fingerprint)
    VALUES (in_id, in_type, in_key, in_sequence, in_reason, in_detail, in_raw, in_envelope, jobkit.clock(),
            in_fingerprint)
    ON CONFLICT DO NOTHING;
END $$;

-- Set a job aside while the gap before it is open; where it has closed, put it into the outbox. Answers 'parked',
-- 'requeued', 'duplicate' (it has ended) or 'unordered'.
CREATE FUNCTION jobkit.park_job(
    in_id text, in_type text, in_key text, in_sequence bigint, in_digest bytea, in_trace text, in_schema integer,
    in_submitted_at double precision, in_reason text, in_envelope bytea
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    j record;
    turn bigint;
    done bigint;
BEGIN
    -- Made where it is missing, so that whoever closes the gap meanwhile waits for this, or this for them.
    PERFORM jobkit.tally(in_keys => jobkit.lock_key(in_type, in_key)::integer);
    SELECT committed INTO done FROM jobkit.keys WHERE type = in_type AND key = in_key;
    SELECT state, sequence INTO j FROM jobkit.jobs WHERE id = in_id;
    turn := CASE WHEN j.state IS NULL THEN in_sequence ELSE j.sequence END;
    IF turn IS NULL THEN
        RETURN 'unordered';
    ELSIF j.state IN ('committed', 'dead') THEN
        RETURN 'duplicate';
    ELSIF j.state IS NULL THEN
        INSERT INTO jobkit.jobs (id, type, key, sequence, digest, state, trace, schema, submitted_at)
        VALUES (in_id, in_type, in_key, in_sequence, in_digest, 'queued', in_trace, in_schema,
                coalesce(nullif(in_submitted_at, 0), jobkit.clock()))
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            PERFORM jobkit.overtaken('the job');
        END IF;
        PERFORM jobkit.tally(in_queued => 1);
    END IF;
    -- Parked, it is kept there: the in-flight table would have its partition's leader try it again and again.
    DELETE FROM jobkit.inflight WHERE id = in_id;
    IF turn <= done + 1 THEN
        INSERT INTO jobkit.outbox (made, sequence, envelope) VALUES (jobkit.clock(), turn, in_envelope);
        PERFORM jobkit.tally(in_outbox => 1);
        RETURN 'requeued';
    END IF;
    INSERT INTO jobkit.parked (type, key, sequence, id, reason, parked_at, envelope)
    VALUES (in_type, in_key, turn, in_id, in_reason, jobkit.clock(), in_envelope)
    ON CONFLICT DO NOTHING;
    PERFORM jobkit.tally_state(coalesce(j.state, 'queued'), 'parked');
    UPDATE jobkit.jobs SET state = 'parked' WHERE id = in_id;
    RETURN 'parked';
END $$;

-- Keep an envelope in the in-flight table until its job ends; one that has ended is not kept.
CREATE FUNCTION jobkit.shelve_job(in_id text, in_type text, in_number integer, in_envelope bytea) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
BEGIN
    -- Locked, so that the job does not end, and empty the table, between the look and the entry.
    PERFORM FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    INSERT INTO jobkit.inflight (id, type, number, envelope)
    SELECT in_id, in_type, in_number, in_envelope
    WHERE NOT EXISTS (SELECT FROM jobkit.jobs WHERE id = in_id AND ended IS NOT NULL)
    ON CONFLICT DO NOTHING;
END $$;

-- Note how far a running job is, if the fence is the mark; tell whether it was.
CREATE FUNCTION jobkit.note_progress(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_fraction double precision, in_message text
) RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF jobkit.refusal(in_type, in_key, in_token, in_nonce) IS NOT NULL THEN
        RETURN false;
    END IF;
    UPDATE jobkit.jobs SET progress = in_fraction, message = in_message WHERE id = in_id AND state = 'running';
    RETURN true;
END $$;

-- Delete outbox entries that the broker has confirmed. In one order, since two relays may have published the same.
CREATE FUNCTION jobkit.published(in_positions bigint[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    gone integer;
BEGIN
    PERFORM FROM jobkit.outbox WHERE position = ANY (in_positions) ORDER BY position FOR UPDATE;
    DELETE FROM jobkit.outbox WHERE position = ANY (in_positions);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM jobkit.tally(in_outbox => -gone);
END $$;
