-- Accepting jobs of which some have unique names, which one job at a time holds.
--
-- No function frees a name: who holds it follows from what has become of its job, and an index refuses two. Whoever asks for
-- a name, or gives one back to a dead letter, takes a lock on it first, before any other lock. Who waits for that sees what
-- has come of it: where the other transaction is rolled back, the name was never taken.

-- Lock unique names, in one order.
CREATE OR REPLACE FUNCTION jobkit.lock_names(in_types text[], in_names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT hashtextextended(g.name, hashtextextended(g.type, 0)) AS lock
        FROM unnest(in_types, in_names) AS g (type, name) WHERE g.name IS NOT NULL ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(given.lock);
    END LOOP;
END $$;

-- The jobs that hold unique names.
CREATE OR REPLACE FUNCTION jobkit.holders_of(in_types text[], in_names text[]) RETURNS SETOF jobkit.jobs
LANGUAGE sql STABLE AS $$
    SELECT j.* FROM (SELECT DISTINCT type, name FROM unnest(in_types, in_names) AS n (type, name) WHERE name IS NOT NULL) g
    JOIN jobkit.jobs j ON j.type = g.type AND j.unique_name = g.name
    WHERE j.ended IS NULL AND j.unique_while <> 'begun'
$$;

-- Accept jobs as `submit_jobs` does, with a name for some of them: while what they hold it ('queued' or 'unfinished'), and
-- whether they replace the one that does and has not begun. One more answer is 'kept'; `other` is the job that holds the
-- name then, and else the one that was replaced. The rows come in any order.
CREATE OR REPLACE FUNCTION jobkit.submit_named_jobs(
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[],
    in_afters double precision[], in_expire_ats double precision[], in_expire_afters double precision[], in_sources text[],
    in_names text[], in_whiles text[], in_replacing boolean[], in_most integer
) RETURNS TABLE (
    place integer, answer text, "position" bigint, sequence bigint, submitted_at double precision, trace text,
    schema integer, due double precision, other text, key text
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    now double precision := jobkit.clock();
    given record;
    holder record;
    made record;
    -- The places of jobs that are accepted together, and which each of them replaces.
    pending integer[] := '{}';
    named integer[];
    replaced text[] := array_fill(NULL::text, ARRAY[cardinality(in_ids)]);
    first integer := 1;
    new_keys integer := 0;
BEGIN
    -- 1. The locks: names, then keys (of those that get a sequence, and of those that may be replaced), then jobs.
    PERFORM jobkit.lock_names(in_types, in_names);
    FOR given IN
        SELECT g.type, g.key, bool_or(g.made) AS made
        FROM (
            SELECT n.type COLLATE "C" AS type, n.key COLLATE "C" AS key, true AS made
            FROM unnest(in_ids, in_types, in_keys, in_ordered, in_ats, in_afters) AS n (id, type, key, ordered, at, after)
            WHERE n.ordered AND (coalesce(n.at, now + n.after) > now) IS NOT TRUE
              AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = n.id)
            UNION ALL
            SELECT h.type, h.key, false FROM jobkit.holders_of(in_types, in_names) h WHERE h.key IS NOT NULL
        ) g
        GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        IF NOT given.made THEN
            PERFORM FROM jobkit.keys k WHERE k.type = given.type AND k.key = given.key FOR UPDATE;
        ELSIF jobkit.lock_key(given.type, given.key) THEN
            new_keys := new_keys + 1;
        END IF;
    END LOOP;
    PERFORM jobkit.tally(in_keys => new_keys);
    -- So that none of them begins before this transaction has ended, not even one that is kept.
    PERFORM FROM jobkit.jobs j WHERE j.id = ANY (ARRAY(SELECT h.id FROM jobkit.holders_of(in_types, in_names) h))
    ORDER BY j.type, j.key, j.number FOR UPDATE;

    -- 2. The jobs in their order, as many together as have no name and no id in common.
    FOR given IN
        SELECT g.place::integer AS place, g.id, g.type, g.name, g.replacing,
               greatest(lag(g.place) OVER (PARTITION BY g.type, g.name ORDER BY g.place),
                        lag(g.place) OVER (PARTITION BY g.id ORDER BY g.place)) AS earlier
        FROM unnest(in_ids, in_types, in_names, in_replacing) WITH ORDINALITY AS g (id, type, name, replacing, place)
        UNION ALL SELECT cardinality(in_ids) + 1, NULL, NULL, NULL, NULL, cardinality(in_ids)
        ORDER BY 1
    LOOP
        IF given.earlier >= first AND (given.name IS NOT NULL OR given.id IS NULL) THEN
            named := '{}';
            FOR made IN
                SELECT s.*, pending[s.place] AS placed
                FROM (
                    SELECT array_agg(in_ids[p.at] ORDER BY p.at) AS ids, array_agg(in_types[p.at] ORDER BY p.at) AS types,
                           array_agg(in_keys[p.at] ORDER BY p.at) AS keys, array_agg(in_ordered[p.at] ORDER BY p.at) AS ordered,
                           array_agg(in_slots[p.at] ORDER BY p.at) AS slots,
                           array_agg(in_digests[p.at] ORDER BY p.at) AS digests,
                           array_agg(in_traces[p.at] ORDER BY p.at) AS traces,
                           array_agg(in_schemas[p.at] ORDER BY p.at) AS schemas,
                           array_agg(in_submitted_at[p.at] ORDER BY p.at) AS submitted_at,
                           array_agg(in_envelopes[p.at] ORDER BY p.at) AS envelopes,
                           array_agg(in_ats[p.at] ORDER BY p.at) AS ats, array_agg(in_afters[p.at] ORDER BY p.at) AS afters,
                           array_agg(in_expire_ats[p.at] ORDER BY p.at) AS expire_ats,
                           array_agg(in_expire_afters[p.at] ORDER BY p.at) AS expire_afters,
                           array_agg(in_sources[p.at] ORDER BY p.at) AS sources
                    FROM unnest(pending) AS p (at)
                ) r, jobkit.submit_jobs(
                    coalesce(r.ids, '{}'), r.types, r.keys, r.ordered, r.slots, r.digests, r.traces, r.schemas,
                    r.submitted_at, r.envelopes, r.ats, r.afters, r.expire_ats, r.expire_afters, r.sources
                ) s
            LOOP
                IF made.answer = 'accepted' AND in_names[made.placed] IS NOT NULL THEN
                    named := named || made.placed;
                END IF;
                place := made.placed; answer := made.answer; "position" := made.position; sequence := made.sequence;
                submitted_at := made.submitted_at; trace := made.trace; schema := made.schema; due := made.due;
                other := replaced[made.placed]; key := NULL;
                RETURN NEXT;
            END LOOP;
            PERFORM jobkit.hold_names(array_agg(in_ids[n.at]), array_agg(in_names[n.at]), array_agg(in_whiles[n.at]))
            FROM unnest(named) AS n (at);
            first := given.place;
            pending := '{}';
        END IF;
        IF given.name IS NOT NULL AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.id = given.id) THEN
            SELECT h.id, h.key, h.sequence, h.due, h.started_at, h.expires INTO holder
            FROM jobkit.holders_of(ARRAY[given.type], ARRAY[given.name]) h;
            IF holder.expires <= now THEN
                PERFORM jobkit.expire_jobs(ARRAY[holder.id], in_most);
            ELSIF holder.id IS NOT NULL AND (holder.started_at IS NOT NULL OR NOT given.replacing) THEN
                place := given.place; answer := 'kept'; "position" := NULL; sequence := holder.sequence;
                submitted_at := NULL; trace := NULL; schema := NULL; due := holder.due; other := holder.id; key := holder.key;
                RETURN NEXT;
                CONTINUE;
            ELSIF holder.id IS NOT NULL THEN
                PERFORM jobkit.cancel_jobs(ARRAY[holder.id], 'jobkit', 'replaced by ' || given.id, in_most,
                                           jobkit.unfinished());
                replaced[given.place] := holder.id;
            END IF;
        END IF;
        pending := pending || given.place;
    END LOOP;
END $$;

-- Give jobs the names that they are to hold. Whoever sees an older state of things than the locks promise is overtaken: it
-- looks at one moment for the whole of its transaction.
CREATE OR REPLACE FUNCTION jobkit.hold_names(in_ids text[], in_names text[], in_whiles text[]) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    UPDATE jobkit.jobs j SET unique_name = g.name, unique_while = g.while
    FROM unnest(in_ids, in_names, in_whiles) AS g (id, name, while) WHERE j.id = g.id;
EXCEPTION WHEN unique_violation THEN
    PERFORM jobkit.overtaken('the unique name of one of the jobs');
END $$;
