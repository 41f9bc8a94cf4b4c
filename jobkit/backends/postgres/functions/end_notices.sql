-- Jobs that tell of another one's end where that is not a commit: accepted by the transaction that ends it, and by no other.

-- Keep them with the jobs that were accepted just now: not with one that was known, whose envelope is another.
CREATE OR REPLACE FUNCTION jobkit.keep_notices(in_ids text[], in_envelopes bytea[], in_notices text[]) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    UPDATE jobkit.jobs j SET notices = g.notices
    FROM unnest(in_ids, in_envelopes, in_notices) AS g (id, envelope, notices)
    WHERE g.notices IS NOT NULL AND j.id = g.id AND j.envelope = g.envelope;
END $$;

-- Accept jobs as `submit_jobs_of_tenants` does, and keep what is to tell of their ends.
CREATE OR REPLACE FUNCTION jobkit.submit_jobs_with_notices(
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[],
    in_afters double precision[], in_expire_ats double precision[], in_expire_afters double precision[], in_sources text[],
    in_names text[], in_whiles text[], in_replacing boolean[], in_most integer, in_closes text[], in_groups text[],
    in_lines text[], in_places integer[], in_notices text[]
) RETURNS TABLE (
    place integer, answer text, "position" bigint, sequence bigint, submitted_at double precision, trace text,
    schema integer, due double precision, other text, key text
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT s.* FROM jobkit.submit_jobs_of_tenants(
        in_ids, in_types, in_keys, in_ordered, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
        in_envelopes, in_ats, in_afters, in_expire_ats, in_expire_afters, in_sources, in_names, in_whiles, in_replacing,
        in_most, in_closes, in_groups, in_lines, in_places) s;
    PERFORM jobkit.keep_notices(in_ids, in_envelopes, in_notices);
END $$;

-- Accept those of them that tell of an end in this state. Whoever ends the job is not told of their entries.
CREATE OR REPLACE FUNCTION jobkit.tell_end(in_notices text, in_state text) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    now double precision := jobkit.clock();
BEGIN
    PERFORM jobkit.submit_jobs(
        array_agg(n.id), array_agg(n.type), array_agg(n.key), array_agg(false), array_agg(n.slot),
        array_agg(decode(n.digest, 'hex')), array_agg(n.trace), array_agg(n.schema), array_agg(now),
        -- Nobody knew when that would be.
        array_agg(convert_to(overlay(n.envelope PLACING '"submitted_at":' || now
            FROM position('"submitted_at":0.0' IN n.envelope) FOR length('"submitted_at":0.0')), 'UTF8')),
        array_agg(NULL::double precision), array_agg(NULL::double precision), '{}', '{}', array_agg(''::text))
    FROM json_to_recordset(in_notices::json) AS n (
        state text, id text, type text, key text, slot bigint, digest text, trace text, schema integer, envelope text)
    WHERE n.state = in_state HAVING count(*) > 0;
END $$;
