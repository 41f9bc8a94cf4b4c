-- Jobs that are given up, and messages that never were jobs. Each function changes one job, under the lock of its key.

-- End a job in the dead letters, for a reason. What has ended is nowhere else any more, however it came to its end. Where its turn
-- was over, the next parked ones whose turn is over, too, come out. The caller holds the lock of the key.
CREATE OR REPLACE FUNCTION jobkit.end_job(in_id text, in_reason text, in_most integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    j record;
    gone integer;
    done bigint;
BEGIN
    SELECT type, key, sequence, state, entry, member_of, line, notices INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    UPDATE jobkit.jobs SET state = 'dead', finished_at = jobkit.clock(), ended = jobkit.clock(), envelope = NULL,
        expires = NULL, reason = in_reason
    WHERE id = in_id;
    DELETE FROM jobkit.inflight WHERE id = in_id;
    DELETE FROM jobkit.parked WHERE id = in_id;
    DELETE FROM jobkit.outbox WHERE position = j.entry;
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM jobkit.tally_state(j.state, 'dead');
    PERFORM jobkit.tally(in_outbox => -gone);
    SELECT committed INTO done FROM jobkit.keys WHERE type = j.type AND key = j.key;
    IF j.sequence <= done THEN
        PERFORM jobkit.release_parked(j.type, j.key, done + 1, '', in_most);
    END IF;
    IF j.member_of IS NOT NULL THEN
        PERFORM jobkit.count_members(ARRAY[in_id], ARRAY['unended'], ARRAY['dead'], in_most);
    END IF;
    IF j.line IS NOT NULL THEN
        PERFORM jobkit.give_places(j.type, j.line, '');
    END IF;
    IF j.notices IS NOT NULL THEN
        PERFORM jobkit.tell_end(j.notices, 'dead');
    END IF;
END $$;

-- Dead-letter a job with its history. Answers 'dead', 'duplicate', 'cancelled' or 'expired' (it has ended already and is left as
-- it is), 'refused' with the mark, or 'unknown'.
CREATE OR REPLACE FUNCTION jobkit.bury_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_reason text, in_detail text,
    in_raw bytea, in_envelope bytea, in_most integer, OUT answer text, OUT number bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    refused bigint := jobkit.refusal(in_type, in_key, in_token, in_nonce);
    j record;
BEGIN
    SELECT state, sequence, failures INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF j.state IN ('committed', 'dead', 'cancelled', 'expired') THEN
        answer := CASE WHEN j.state IN ('cancelled', 'expired') THEN j.state ELSE 'duplicate' END;
    ELSIF refused IS NOT NULL THEN
        answer := 'refused';
        number := refused;
    ELSIF j.state IS NULL THEN
        answer := 'unknown';
    ELSE
        INSERT INTO jobkit.dead (id, type, key, sequence, reason, detail, failures, raw, envelope, died_at)
        VALUES (in_id, in_type, in_key, j.sequence, in_reason, in_detail, j.failures, in_raw, in_envelope,
                jobkit.clock());
        PERFORM jobkit.end_job(in_id, in_reason, in_most);
        answer := 'dead';
    END IF;
END $$;

-- Dead-letter a message, and end the job whose message it is; the same message makes one letter. `in_digest` is what
-- the job's is where it has a key, `in_keyless` where it has none. Answers 'dead', or 'duplicate' where that job had
-- ended.
CREATE OR REPLACE FUNCTION jobkit.bury_message(
    in_id text, in_type text, in_key text, in_sequence bigint, in_digest bytea, in_keyless bytea, in_reason text,
    in_detail text, in_raw bytea, in_envelope bytea, in_headers text, in_fingerprint bytea, in_is_job boolean,
    in_most integer, in_notices text
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
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
            PERFORM jobkit.end_job(in_id, in_reason, in_most);
        END IF;
    END IF;
    INSERT INTO jobkit.dead (id, type, key, sequence, reason, detail, failures, raw, envelope, headers, died_at,
                             fingerprint)
    VALUES (in_id, in_type, in_key, in_sequence, in_reason, in_detail, history, in_raw, in_envelope, in_headers,
            jobkit.clock(), in_fingerprint)
    ON CONFLICT DO NOTHING;
    IF FOUND AND in_notices IS NOT NULL AND NOT EXISTS (SELECT FROM jobkit.jobs WHERE id = in_id) THEN
        PERFORM jobkit.tell_end(in_notices, 'dead');
    END IF;
    RETURN 'dead';
END $$;
