-- What jobs keep of their work: their checkpoints and the results of their steps, under the fence like all else.

-- Keep what an opened job has come to. Answers 'saved'; 'newer' where something is kept under the name whose version is no
-- lower; or 'refused' where the job has ended, or was opened under another fence since.
CREATE OR REPLACE FUNCTION jobkit.save_checkpoint(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_step text, in_version bigint, in_value bytea,
    in_blobs text
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF jobkit.refusal(in_type, in_key, in_token, in_nonce) IS NOT NULL THEN
        RETURN 'refused';
    END IF;
    -- Under the lock of its key, which whatever ends a job takes first.
    PERFORM FROM jobkit.jobs WHERE id = in_id AND ended IS NULL AND token = in_token AND nonce = in_nonce;
    IF NOT FOUND THEN
        RETURN 'refused';
    END IF;
    INSERT INTO jobkit.checkpoints AS c (id, step, version, type, key, value, blobs, at)
    VALUES (in_id, in_step, in_version, in_type, in_key, in_value, in_blobs, jobkit.clock())
    ON CONFLICT (id, step) DO UPDATE
    SET version = excluded.version, value = excluded.value, blobs = excluded.blobs, at = excluded.at
    WHERE c.version < excluded.version;
    IF NOT FOUND THEN
        RETURN 'newer';
    END IF;
    UPDATE jobkit.jobs SET saved = true WHERE id = in_id AND saved IS NULL;
    RETURN 'saved';
END $$;
