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
