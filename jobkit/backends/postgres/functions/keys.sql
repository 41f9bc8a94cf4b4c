-- Keys: their locks and their marks.
--
-- Locks are taken in one order everywhere: unique names, then rows of `keys` by (type, key), then new rows of `jobs` by id.

-- Lock a key that is to be changed, making it where it is missing; tell whether it was made. A new key refuses what
-- the forgotten ones would have refused.
CREATE OR REPLACE FUNCTION jobkit.lock_key(in_type text, in_key text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE;
    IF FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO jobkit.keys (type, key, token, touched)
    SELECT in_type, in_key, floor, jobkit.clock() FROM jobkit.retention
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM jobkit.overtaken('the key');
    END IF;
    RETURN true;
END $$;

-- Lock the keys of several jobs and then the jobs, each in its one order, so that a transaction that goes through them in
-- another waits for nobody who waits for it. The key of one that is not known is made where it is missing.
CREATE OR REPLACE FUNCTION jobkit.lock_jobs(in_ids text[], in_types text[], in_keys text[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    r record;
    made integer := 0;
BEGIN
    FOR r IN
        SELECT u.type, u.key, bool_or(NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = u.id)) AS needed
        FROM unnest(in_ids, in_types, in_keys) AS u (id, type, key)
        GROUP BY u.type, u.key ORDER BY u.type COLLATE "C", u.key COLLATE "C"
    LOOP
        IF r.needed THEN
            made := made + jobkit.lock_key(r.type, r.key)::integer;
        ELSE
            PERFORM FROM jobkit.keys WHERE type = r.type AND key = r.key FOR UPDATE;
        END IF;
    END LOOP;
    PERFORM jobkit.tally(in_keys => made);
    PERFORM FROM jobkit.jobs WHERE id = ANY (in_ids) ORDER BY type, key, number FOR UPDATE;
END $$;

-- Lock the key and return its mark where that is not the fence given, else NULL.
CREATE OR REPLACE FUNCTION jobkit.refusal(in_type text, in_key text, in_token bigint, in_nonce text) RETURNS bigint
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
