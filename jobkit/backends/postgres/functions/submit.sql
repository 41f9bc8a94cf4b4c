-- Accepting jobs: which are new, which are known, and the sequence each new one gets.

-- Accept jobs in this order, one answer for each: 'accepted', 'known' or 'conflict'. `in_sources` are the jobs whose
-- commits these follow from.
CREATE OR REPLACE FUNCTION jobkit.submit_jobs(
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_sources text[]
) RETURNS TABLE (
    place integer, answer text, "position" bigint, sequence bigint, submitted_at double precision, trace text,
    schema integer
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
    new_keys integer := 0;
    new_jobs integer;
    made integer;
BEGIN
    -- 1. Lock the keys that will give out sequences.
    FOR given IN
        SELECT DISTINCT g.type COLLATE "C" AS type, g.key COLLATE "C" AS key
        FROM unnest(in_ids, in_types, in_keys, in_ordered) AS g (id, type, key, ordered)
        WHERE g.ordered AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = g.id)
        ORDER BY 1, 2
    LOOP
        IF jobkit.lock_key(given.type, given.key) THEN
            new_keys := new_keys + 1;
        END IF;
    END LOOP;
    -- 2. Which are new (of an id that is there twice, the first): those get a position, and ordered ones a sequence.
    SELECT array_agg(p.position ORDER BY p.place), array_agg(p.sequence ORDER BY p.place), count(p.position)
    INTO positions, sequences, new_jobs
    FROM (
        SELECT s.place, s.sequence, CASE WHEN s.new THEN nextval('jobkit.positions') END AS position
        FROM (
            SELECT n.place, n.new,
                   CASE WHEN n.new AND n.ordered THEN k.submitted + row_number() OVER (
                       PARTITION BY n.new, n.ordered, n.type, n.key ORDER BY n.place) END AS sequence
            FROM (
                SELECT g.place, g.type, g.key, g.ordered,
                       row_number() OVER (PARTITION BY g.id ORDER BY g.place) = 1
                       AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = g.id) AS new
                FROM unnest(in_ids, in_types, in_keys, in_ordered) WITH ORDINALITY
                    AS g (id, type, key, ordered, place)
            ) n LEFT JOIN jobkit.keys k ON n.new AND n.ordered AND k.type = n.type AND k.key = n.key
            ORDER BY n.place
        ) s
    ) p;
    IF new_jobs > 0 THEN
        -- 3. Make them known, in the order of their ids.
        INSERT INTO jobkit.jobs (id, number, entry, type, key, sequence, slot, digest, state, trace, schema,
                                 submitted_at, envelope)
        SELECT g.id, g.position, g.position, g.type, g.key, g.sequence, g.slot, g.digest, 'queued', g.trace, g.schema,
               coalesce(nullif(g.submitted_at, 0), jobkit.clock()), g.envelope
        FROM unnest(in_ids, in_types, in_keys, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
                    in_envelopes, positions, sequences)
            AS g (id, type, key, slot, digest, trace, schema, submitted_at, envelope, position, sequence)
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
        FROM unnest(positions, in_sources, in_ids) AS g (position, source, id)
        WHERE g.position IS NOT NULL;
    END IF;
    PERFORM jobkit.tally(in_queued => new_jobs, in_outbox => new_jobs, in_keys => new_keys);
    RETURN QUERY
    SELECT g.place::integer,
           CASE WHEN g.position IS NOT NULL THEN 'accepted' WHEN j.digest = g.digest THEN 'known' ELSE 'conflict' END,
           g.position, j.sequence, j.submitted_at, j.trace, j.schema
    FROM unnest(in_ids, in_digests, positions) WITH ORDINALITY AS g (id, digest, position, place)
    JOIN jobkit.jobs j ON j.id = g.id
    ORDER BY g.place;
    GET DIAGNOSTICS made = ROW_COUNT;
    IF made <> cardinality(in_ids) THEN
        -- Known a moment ago, and forgotten since.
        PERFORM jobkit.overtaken('one of the jobs');
    END IF;
END $$;
