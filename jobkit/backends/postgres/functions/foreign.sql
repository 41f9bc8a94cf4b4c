-- Jobs that were not submitted here.

-- Make a job known that was not submitted here, or was forgotten in a failover. A sequence that
-- somebody else gave out is not given out again here, up to `in_highest`. The caller holds the lock of the key.
CREATE OR REPLACE FUNCTION jobkit.insert_foreign(
    in_id text, in_type text, in_key text, in_sequence bigint, in_slot bigint, in_digest bytea, in_trace text,
    in_schema integer, in_submitted_at double precision, in_envelope bytea, in_notices text,
    in_highest bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobkit.jobs (id, type, key, sequence, slot, digest, state, trace, schema, submitted_at, envelope, notices)
    VALUES (in_id, in_type, in_key, in_sequence, in_slot, in_digest, 'queued', in_trace, in_schema,
            coalesce(nullif(in_submitted_at, 0), jobkit.clock()), in_envelope, in_notices)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM jobkit.overtaken('the job');
    END IF;
    IF in_sequence <= in_highest THEN
        UPDATE jobkit.keys SET submitted = greatest(submitted, in_sequence)
        WHERE type = in_type AND key = in_key AND submitted < in_sequence;
    END IF;
END $$;
