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
    SELECT failed, ended, coalesce(failures, '{}') AS failures, coalesce(attempts, '{}') AS attempts INTO j
    FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        answer := 'unknown';
        RETURN;
    END IF;
    IF j.ended IS NOT NULL THEN
        answer := 'refused';
        number := in_token;
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

-- End a job in the dead letters. What has ended is nowhere else any more, however it came to its end. Where its turn was
-- over, the next parked ones whose turn is over, too, come out. The caller holds the lock of the key.
CREATE FUNCTION jobkit.end_job(in_id text, in_most integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    j record;
    gone integer;
    done bigint;
BEGIN
    SELECT type, key, sequence, state, entry INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    UPDATE jobkit.jobs SET state = 'dead', finished_at = jobkit.clock(), ended = jobkit.clock(), envelope = NULL
    WHERE id = in_id;
    DELETE FROM jobkit.inflight WHERE id = in_id;
    DELETE FROM jobkit.parked WHERE id = in_id;
    DELETE FROM jobkit.outbox WHERE position = j.entry;
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM jobkit.tally_state(j.state, 'dead');
    PERFORM jobkit.tally(in_outbox => -gone);
    SELECT committed INTO done FROM jobkit.keys WHERE type = j.type AND key = j.key;
    IF j.sequence <= done THEN
        PERFORM jobkit.release_parked(j.type, j.key, done + 1, NULL, in_most);
    END IF;
END $$;

-- Dead-letter a job with its history. Answers 'dead', 'duplicate' (it has ended already and is left as it is),
-- 'refused' with the mark, or 'unknown'.
CREATE FUNCTION jobkit.bury_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_reason text, in_detail text,
    in_raw bytea, in_envelope bytea, in_most integer, OUT answer text, OUT number bigint
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
        PERFORM jobkit.end_job(in_id, in_most);
        answer := 'dead';
    END IF;
END $$;

-- Dead-letter a message, and end the job whose message it is; the same message makes one letter. `in_digest` is what the
-- job's is where it has a key, `in_keyless` where it has none. Answers 'dead', or 'duplicate' where that job had ended.
CREATE FUNCTION jobkit.bury_message(
    in_id text, in_type text, in_key text, in_sequence bigint, in_digest bytea, in_keyless bytea, in_reason text,
    in_detail text, in_raw bytea, in_envelope bytea, in_headers text, in_fingerprint bytea, in_is_job boolean,
    in_most integer
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    j record;
    history text[];
BEGIN
    IF in_is_job THEN
        -- The key first, as everywhere.
        PERFORM FROM jobkit.keys k JOIN jobkit.jobs w USING (type, key) WHERE w.id = in_id FOR UPDATE OF k;
        SELECT ended, failures INTO j FROM jobkit.jobs
        WHERE id = in_id AND digest = CASE WHEN key IS NULL THEN in_keyless ELSE in_digest END FOR UPDATE;
        IF FOUND THEN
            IF j.ended IS NOT NULL THEN
                RETURN 'duplicate';
            END IF;
            history := j.failures;
            PERFORM jobkit.end_job(in_id, in_most);
        END IF;
    END IF;
    INSERT INTO jobkit.dead (id, type, key, sequence, reason, detail, failures, raw, envelope, headers, died_at,
                             fingerprint)
    VALUES (in_id, in_type, in_key, in_sequence, in_reason, in_detail, history, in_raw, in_envelope, in_headers,
            jobkit.clock(), in_fingerprint)
    ON CONFLICT DO NOTHING;
    RETURN 'dead';
END $$;

-- Set a job aside while the gap before it is open; where it has closed, put it into the outbox. Answers 'parked',
-- 'requeued', 'duplicate' (it has ended) or 'unordered'.
CREATE FUNCTION jobkit.park_job(
    in_id text, in_type text, in_key text, in_sequence bigint, in_slot bigint, in_digest bytea, in_trace text,
    in_schema integer, in_submitted_at double precision, in_envelope bytea, in_highest bigint, in_reason text
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    j record;
    k record;
    turn bigint;
    gone integer;
BEGIN
    -- Made where it is missing, so that whoever closes the gap meanwhile waits for this, or this for them.
    PERFORM jobkit.tally(in_keys => jobkit.lock_key(in_type, in_key)::integer);
    SELECT committed, forgotten INTO k FROM jobkit.keys WHERE type = in_type AND key = in_key;
    SELECT state, sequence, entry INTO j FROM jobkit.jobs WHERE id = in_id;
    turn := CASE WHEN j.state IS NULL THEN in_sequence ELSE j.sequence END;
    IF turn IS NULL THEN
        RETURN 'unordered';
    ELSIF j.state IN ('committed', 'dead') OR j.state IS NULL AND turn <= k.forgotten THEN
        RETURN 'duplicate';
    ELSIF j.state IS NULL THEN
        PERFORM jobkit.insert_foreign(in_id, in_type, in_key, in_sequence, in_slot, in_digest, in_trace, in_schema,
                                      in_submitted_at, in_envelope, in_highest);
        PERFORM jobkit.tally(in_queued => 1);
    END IF;
    -- Parked, it is kept there: the in-flight table would have its partition's leader try it again and again.
    DELETE FROM jobkit.inflight WHERE id = in_id;
    IF turn <= k.committed + 1 THEN
        PERFORM jobkit.publish(in_id, NULL);
        RETURN 'requeued';
    END IF;
    DELETE FROM jobkit.outbox WHERE position = j.entry;
    GET DIAGNOSTICS gone = ROW_COUNT;
    INSERT INTO jobkit.parked (type, key, sequence, id, reason, parked_at)
    VALUES (in_type, in_key, turn, in_id, in_reason, jobkit.clock())
    ON CONFLICT DO NOTHING;
    PERFORM jobkit.tally_state(coalesce(j.state, 'queued'), 'parked');
    PERFORM jobkit.tally(in_outbox => -gone);
    UPDATE jobkit.jobs SET state = 'parked' WHERE id = in_id;
    RETURN 'parked';
END $$;

-- Keep a job in the in-flight table until it ends. Answers 'shelved', 'duplicate' (it has ended) or 'conflict' (its id
-- is that of another job).
CREATE FUNCTION jobkit.shelve_job(
    in_id text, in_type text, in_key text, in_sequence bigint, in_slot bigint, in_digest bytea, in_trace text,
    in_schema integer, in_submitted_at double precision, in_envelope bytea, in_highest bigint, in_keyless bytea,
    in_place text, in_number integer
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    j record;
    done bigint;
BEGIN
    -- Locked, so that the job does not end, and empty the table, between the look and the entry.
    SELECT key, digest, ended INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM jobkit.tally(in_keys => jobkit.lock_key(in_type, in_key)::integer);
        SELECT forgotten INTO done FROM jobkit.keys WHERE type = in_type AND key = in_key;
        IF in_sequence <= done THEN
            RETURN 'duplicate';
        END IF;
        PERFORM jobkit.insert_foreign(in_id, in_type, in_key, in_sequence, in_slot, in_digest, in_trace, in_schema,
                                      in_submitted_at, in_envelope, in_highest);
        PERFORM jobkit.tally(in_queued => 1);
    ELSIF j.digest <> (CASE WHEN j.key IS NULL THEN in_keyless ELSE in_digest END) THEN
        RETURN 'conflict';
    ELSIF j.ended IS NOT NULL THEN
        RETURN 'duplicate';
    END IF;
    INSERT INTO jobkit.inflight (id, type, number) VALUES (in_id, in_place, in_number) ON CONFLICT DO NOTHING;
    RETURN 'shelved';
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
