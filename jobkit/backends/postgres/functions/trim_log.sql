-- Drop the first entries of a key's log up to a position, those that are old enough; return how many. A key that somebody has
-- locked is left for the next time.
CREATE OR REPLACE FUNCTION jobkit.trim_log(
    in_type text, in_key text, in_upto bigint, in_older_than double precision, in_limit integer
) RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off SET enable_sort = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    trimmed bigint;
    reached bigint;
BEGIN
    -- A look first, which locks nothing: of most logs nothing is old enough.
    IF NOT EXISTS (
        SELECT FROM jobkit.log l
        WHERE l.type = in_type AND l.key = in_key AND l.position <= in_upto AND l.at <= jobkit.clock() - in_older_than
              AND l.position = (SELECT k.log_trimmed + 1 FROM jobkit.keys k WHERE k.type = in_type AND k.key = in_key)
    ) THEN
        RETURN 0;
    END IF;
    SELECT log_trimmed INTO trimmed FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- Up to the first that is too young.
    SELECT coalesce(min(f.position) FILTER (WHERE f.at > jobkit.clock() - in_older_than) - 1, max(f.position)) INTO reached
    FROM (
        SELECT l.position, l.at FROM jobkit.log l
        WHERE l.type = in_type AND l.key = in_key AND l.position > trimmed AND l.position <= in_upto
        ORDER BY l.position LIMIT in_limit
    ) f;
    IF reached IS NULL OR reached = trimmed THEN
        RETURN 0;
    END IF;
    -- From there on: what went before is walked over, as long as somebody's old snapshot keeps it from being cleaned up.
    DELETE FROM jobkit.log WHERE type = in_type AND key = in_key AND position > trimmed AND position <= reached;
    UPDATE jobkit.keys SET log_trimmed = reached WHERE type = in_type AND key = in_key;
    RETURN reached - trimmed;
END $$;
