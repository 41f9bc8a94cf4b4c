-- Have a key have no files any more, where it has just these and no job of it has yet to end; return whether that was done. A key
-- that somebody has locked is left for the next time: a job that opens or commits has.
CREATE OR REPLACE FUNCTION jobkit.drop_files(in_type text, in_key text, in_blobs text) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off SET enable_sort = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    PERFORM FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR EXISTS (
        SELECT FROM jobkit.jobs j WHERE j.type = in_type AND j.key = in_key AND j.ended IS NULL
    ) THEN
        RETURN false;
    END IF;
    DELETE FROM jobkit.manifests WHERE type = in_type AND key = in_key AND blobs = in_blobs;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- The row stays for its time, so that a sweep knows what the bytes were of.
    UPDATE jobkit.keys SET touched = jobkit.clock() WHERE type = in_type AND key = in_key;
    RETURN true;
END $$;
