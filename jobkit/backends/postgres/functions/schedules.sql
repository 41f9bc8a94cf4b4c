-- Schedules: rows by name, changed by whoever saw their latest revision, together with the jobs of their ticks.

-- Keep a schedule's next state, and accept jobs as `submit_jobs` does. The first row answers 'saved' or 'overtaken', the
-- others are those of the jobs.
CREATE OR REPLACE FUNCTION jobkit.save_schedule(
    in_name text, in_type text, in_definition bytea, in_revision bigint, in_due double precision,
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[],
    in_afters double precision[], in_sources text[]
) RETURNS TABLE (
    place integer, answer text, "position" bigint, sequence bigint, submitted_at double precision, trace text,
    schema integer, due double precision
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF in_revision = 0 THEN
        INSERT INTO jobkit.schedules (name, type, definition, revision, due, seen)
        VALUES (in_name, in_type, in_definition, 1, in_due, jobkit.clock())
        ON CONFLICT DO NOTHING;
    ELSE
        UPDATE jobkit.schedules s
        SET type = in_type, definition = in_definition, due = in_due, revision = s.revision + 1
        WHERE s.name = in_name AND s.revision = in_revision;
    END IF;
    IF NOT FOUND THEN
        answer := 'overtaken';
        RETURN NEXT;
        RETURN;
    END IF;
    answer := 'saved';
    RETURN NEXT;
    IF cardinality(in_ids) > 0 THEN
        RETURN QUERY
        SELECT * FROM jobkit.submit_jobs(
            in_ids, in_types, in_keys, in_ordered, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
            in_envelopes, in_ats, in_afters, in_sources);
    END IF;
END $$;
