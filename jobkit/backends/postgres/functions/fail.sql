-- Attempts that failed, and how far running ones are. Each function changes one job, under the lock of its key.

-- Add a failed attempt to the job's history, of which the latest `in_kept` are kept, and have it wait for the
-- next one. It is not opened again for
-- `in_retry_in` seconds, and its message not missed for `in_kept_back`. Answers 'failed' with how many it has now,
-- 'refused' with the mark, or 'unknown'.
CREATE OR REPLACE FUNCTION jobkit.fail_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_attempt integer, in_failure text,
    in_kept integer, in_retry_in double precision, in_kept_back double precision, OUT answer text, OUT number bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    j record;
BEGIN
    number := jobkit.refusal(in_type, in_key, in_token, in_nonce);
    IF number IS NOT NULL THEN
        answer := 'refused';
        RETURN;
    END IF;
    SELECT state, failed, ended, coalesce(failures, '{}') AS failures, coalesce(attempts, '{}') AS attempts INTO j
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
    SET state = 'queued', progress = 0, message = '', failed = failed + 1,
        delayed_until = jobkit.clock() + in_kept_back,
        failures = (j.failures || in_failure)[greatest(1, cardinality(j.failures) + 2 - in_kept):],
        attempts = (j.attempts || in_attempt)[greatest(1, cardinality(j.attempts) + 2 - in_kept):],
        told = in_nonce,
        -- It has one where a call that put it back came late.
        due = NULL, ordered = NULL,
        retry_at = jobkit.clock() + in_retry_in
    WHERE id = in_id;
    PERFORM jobkit.tally_state(j.state, 'queued');
END $$;

-- Note that the start under a fence ended with its worker alive.
CREATE OR REPLACE FUNCTION jobkit.note_interrupted(in_id text, in_nonce text) RETURNS void LANGUAGE sql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    UPDATE jobkit.jobs
    SET told = CASE WHEN nonce = in_nonce THEN in_nonce ELSE told END, silent = array_remove(silent, in_nonce)
    WHERE id = in_id AND ended IS NULL AND (nonce = in_nonce OR in_nonce = ANY (silent))
$$;

-- Note how far a running job is, if the fence is the mark; tell whether it was.
CREATE OR REPLACE FUNCTION jobkit.note_progress(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_fraction double precision, in_message text
) RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF jobkit.refusal(in_type, in_key, in_token, in_nonce) IS NOT NULL THEN
        RETURN false;
    END IF;
    UPDATE jobkit.jobs SET progress = in_fraction, message = in_message WHERE id = in_id AND state = 'running';
    RETURN true;
END $$;
