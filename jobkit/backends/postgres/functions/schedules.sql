-- Schedules: rows by name, changed by whoever saw their latest revision.

-- Keep a schedule's next state; tell whether it was still in the revision that was seen.
CREATE OR REPLACE FUNCTION jobkit.save_schedule(
    in_name text, in_type text, in_definition bytea, in_revision bigint, in_due double precision
) RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF in_revision = 0 THEN
        INSERT INTO jobkit.schedules (name, type, definition, revision, due, seen)
        VALUES (in_name, in_type, in_definition, 1, in_due, jobkit.clock())
        ON CONFLICT DO NOTHING;
    ELSE
        UPDATE jobkit.schedules
        SET type = in_type, definition = in_definition, due = in_due, revision = revision + 1
        WHERE name = in_name AND revision = in_revision;
    END IF;
    RETURN FOUND;
END $$;
