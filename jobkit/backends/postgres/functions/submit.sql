-- Accepting jobs: which are new, which are known, and the sequence each new one gets.

-- Accept jobs in this order, one answer for each: 'accepted', 'known' or 'conflict'. Of those that are to run later, `in_ats`
-- says when, or `in_afters` in how many seconds; where that is not yet, they are scheduled. Those that have to have begun in
-- time say so in `in_expire_ats` or `in_expire_afters`, both empty where there are none. `in_sources` are the jobs whose
-- commits these follow from.
CREATE OR REPLACE FUNCTION jobkit.submit_jobs(
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[],
    in_afters double precision[], in_expire_ats double precision[], in_expire_afters double precision[], in_sources text[]
) RETURNS TABLE (
    place integer, answer text, "position" bigint, sequence bigint, submitted_at double precision, trace text,
    schema integer, due double precision
)
LANGUAGE plpgsql
-- Every look-up here is of few rows in a table of many, whatever the statistics of a young table say.
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    given record;
    positions bigint[];
    sequences bigint[];
    dues double precision[];
    now double precision := jobkit.clock();
    scheduled integer;
    new_keys integer := 0;
    new_jobs integer;
    made integer;
BEGIN
    -- 1. Lock the keys that will give out sequences.
    FOR given IN
        SELECT DISTINCT g.type COLLATE "C" AS type, g.key COLLATE "C" AS key
        FROM unnest(in_ids, in_types, in_keys, in_ordered, in_ats, in_afters) AS g (id, type, key, ordered, at, after)
        WHERE g.ordered AND (coalesce(g.at, now + g.after) > now) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = g.id)
        ORDER BY 1, 2
    LOOP
        IF jobkit.lock_key(given.type, given.key) THEN
            new_keys := new_keys + 1;
        END IF;
    END LOOP;
    -- 2. Which are new (of an id that is there twice, the first): those get a position, and ordered ones a sequence, where
    -- they are not scheduled.
    SELECT array_agg(p.position ORDER BY p.place), array_agg(p.sequence ORDER BY p.place),
           array_agg(p.due ORDER BY p.place), count(p.position), count(p.due)
    INTO positions, sequences, dues, new_jobs, scheduled
    FROM (
        SELECT s.place, s.sequence, s.due, CASE WHEN s.new THEN nextval('jobkit.positions') END AS position
        FROM (
            SELECT n.place, n.new, CASE WHEN n.new THEN n.due END AS due,
                   CASE WHEN n.new AND n.ordered AND n.due IS NULL THEN k.submitted + row_number() OVER (
                       PARTITION BY n.new, n.ordered, n.due IS NULL, n.type, n.key ORDER BY n.place) END AS sequence
            FROM (
                SELECT g.place, g.type, g.key, g.ordered,
                       CASE WHEN coalesce(g.at, now + g.after) > now THEN coalesce(g.at, now + g.after) END AS due,
                       row_number() OVER (PARTITION BY g.id ORDER BY g.place) = 1
                       AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = g.id) AS new
                FROM unnest(in_ids, in_types, in_keys, in_ordered, in_ats, in_afters) WITH ORDINALITY
                    AS g (id, type, key, ordered, at, after, place)
            ) n LEFT JOIN jobkit.keys k ON n.new AND n.ordered AND k.type = n.type AND k.key = n.key
            ORDER BY n.place
        ) s
    ) p;
    IF new_jobs > 0 THEN
        -- 3. Make them known, in the order of their ids.
        INSERT INTO jobkit.jobs (id, number, entry, type, key, sequence, slot, digest, state, trace, schema,
                                 submitted_at, envelope, due, ordered, expires)
        SELECT g.id, g.position, CASE WHEN g.due IS NULL THEN g.position END, g.type, g.key, g.sequence, g.slot,
               g.digest, CASE WHEN g.due IS NULL THEN 'queued' ELSE 'scheduled' END, g.trace, g.schema,
               coalesce(nullif(g.submitted_at, 0), now), g.envelope, g.due,
               CASE WHEN g.due IS NOT NULL THEN g.ordered END, coalesce(now + g.expire_after, g.expire_at)
        FROM unnest(in_ids, in_types, in_keys, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
                    in_envelopes, positions, sequences, dues, in_ordered, in_expire_ats, in_expire_afters)
            AS g (id, type, key, slot, digest, trace, schema, submitted_at, envelope, position, sequence, due, ordered,
                  expire_at, expire_after)
        WHERE g.position IS NOT NULL
        ORDER BY g.id COLLATE "C"
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS made = ROW_COUNT;
        IF made <> new_jobs THEN
            PERFORM jobkit.overtaken('one of the jobs');
        END IF;
        UPDATE jobkit.keys k SET submitted = s.highest, touched = jobkit.clock()
        FROM (
            SELECT g.type, g.key, max(g.sequence) AS highest
            FROM unnest(in_types, in_keys, sequences) AS g (type, key, sequence)
            WHERE g.sequence IS NOT NULL GROUP BY g.type, g.key
        ) s
        WHERE k.type = s.type AND k.key = s.key;
        -- 4. Have them published.
        INSERT INTO jobkit.outbox (position, made, source, id)
        SELECT g.position, jobkit.clock(), g.source, g.id
        FROM unnest(positions, in_sources, in_ids, dues) AS g (position, source, id, due)
        WHERE g.position IS NOT NULL AND g.due IS NULL;
    END IF;
    PERFORM jobkit.tally(in_queued => new_jobs - scheduled, in_scheduled => scheduled, in_outbox => new_jobs - scheduled,
                         in_keys => new_keys);
    RETURN QUERY
    SELECT g.place::integer,
           CASE WHEN g.position IS NOT NULL THEN 'accepted' WHEN j.digest = g.digest THEN 'known' ELSE 'conflict' END,
           CASE WHEN g.due IS NULL THEN g.position END, j.sequence, j.submitted_at, j.trace, j.schema, g.due
    FROM unnest(in_ids, in_digests, positions, dues) WITH ORDINALITY AS g (id, digest, position, due, place)
    JOIN jobkit.jobs j ON j.id = g.id
    ORDER BY g.place;
    GET DIAGNOSTICS made = ROW_COUNT;
    IF made <> cardinality(in_ids) THEN
        -- Known a moment ago, and forgotten since.
        PERFORM jobkit.overtaken('one of the jobs');
    END IF;
END $$;
