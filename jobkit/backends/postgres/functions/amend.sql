-- Write records of a key outside of any job: what is derived from its log. Answers 'stale' with the mark, or 'amended',
-- or 'grown' where the log has not `in_length` entries or there is no such key; then no record is written.
CREATE OR REPLACE FUNCTION jobkit.amend_key(
    in_type text, in_key text, in_token bigint, in_nonce text, in_owner text, in_length bigint,
    in_names text[], in_values bytea[], OUT answer text, OUT mark bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    k record;
BEGIN
    SELECT token, nonce, log_length INTO k FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE;
    answer := 'grown';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF in_token <> k.token OR in_nonce <> k.nonce THEN
        IF in_token <= k.token THEN
            answer := 'stale';
            mark := k.token;
            RETURN;
        END IF;
        UPDATE jobkit.keys SET token = in_token, nonce = in_nonce, owner = in_owner, touched = jobkit.clock()
        WHERE type = in_type AND key = in_key;
    END IF;
    IF k.log_length <> in_length THEN
        RETURN;
    END IF;
    answer := 'amended';
    INSERT INTO jobkit.records (type, key, name, value)
    SELECT in_type, in_key, name, value FROM unnest(in_names, in_values) AS given (name, value)
    ON CONFLICT (type, key, name) DO UPDATE SET value = excluded.value;
END $$;
