-- By which coordinators the workers on this store go.

-- Note that a worker goes by one just now, and forget those of which nothing was heard for `in_kept` seconds.
CREATE OR REPLACE FUNCTION jobkit.note_coordinator(in_identity text, in_kept double precision) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM jobkit.coordinators WHERE seen < jobkit.clock() - in_kept AND identity <> in_identity;
    INSERT INTO jobkit.coordinators (identity, seen) VALUES (in_identity, jobkit.clock())
    ON CONFLICT (identity) DO UPDATE SET seen = greatest(coordinators.seen, excluded.seen);
$$;
