-- Jobs that are ended without having run to an end; they give up their turns.

-- End jobs that have yet to end and are in one of `in_states`, as 'cancelled'; or as 'expired', where they were to have begun by
-- now and have not. One row for each that is known: whether it was ended here and now, its state before where it had ended already, and the result of
-- a committed one.
CREATE OR REPLACE FUNCTION jobkit.end_early(
    in_ids text[], in_states text[], in_state text, in_by text, in_reason text, in_most integer
)
RETURNS TABLE (id text, now_ended boolean, state text, result bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    now double precision := jobkit.clock();
    keyed bigint;
    found record;
    going text[];
    turn record;
    gone integer;
BEGIN
    -- The keys first, in the one order, and then their jobs in the same.
    PERFORM FROM jobkit.keys k
    JOIN (SELECT DISTINCT w.type, w.key FROM jobkit.jobs w WHERE w.id = ANY (in_ids)) g USING (type, key)
    ORDER BY k.type, k.key FOR UPDATE OF k;
    SELECT count(w.key) INTO keyed FROM jobkit.jobs w WHERE w.id = ANY (in_ids);
    SELECT array_agg(l.id) AS ids, array_agg(l.state) AS states, array_agg(l.result) AS results, count(l.key) AS keyed,
           array_agg(l.expires) AS expiries, bool_or(l.saved) AS saved, count(l.member_of) AS members, count(l.line) AS lines,
           count(l.notices) AS notices
    INTO found
    FROM (
        SELECT w.id, w.state, w.result, w.key, w.expires, w.saved, w.member_of, w.line, w.notices FROM jobkit.jobs w
        WHERE w.id = ANY (in_ids)
        ORDER BY w.type, w.key, w.number FOR UPDATE
    ) l;
    IF found.keyed <> keyed THEN
        -- One has found its key since, whose lock comes first.
        PERFORM jobkit.overtaken('the key of a job');
    END IF;
    SELECT array_agg(f.id) INTO going FROM unnest(found.ids, found.states, found.expiries) AS f (id, state, expires)
    WHERE f.state = ANY (jobkit.unfinished()) AND f.state = ANY (in_states) AND (in_state = 'cancelled' OR f.expires <= now);
    IF going IS NOT NULL THEN
        DELETE FROM jobkit.inflight i WHERE i.id = ANY (going);
        DELETE FROM jobkit.parked p WHERE p.id = ANY (going);
        IF found.saved THEN
            DELETE FROM jobkit.checkpoints c WHERE c.id = ANY (going);
        END IF;
        -- In one order, as in `published`: both may be about the same entries.
        PERFORM FROM jobkit.outbox o
        WHERE o.position = ANY (ARRAY(SELECT w.entry FROM jobkit.jobs w WHERE w.id = ANY (going)))
        ORDER BY o.position FOR UPDATE;
        DELETE FROM jobkit.outbox o
        WHERE o.position = ANY (ARRAY(SELECT w.entry FROM jobkit.jobs w WHERE w.id = ANY (going)));
        GET DIAGNOSTICS gone = ROW_COUNT;
        UPDATE jobkit.jobs w
        SET state = in_state, finished_at = now, ended = now, settled = now, ended_by = in_by, reason = in_reason,
            expires = CASE in_state WHEN 'expired' THEN w.expires END, envelope = NULL
        WHERE w.id = ANY (going);
        PERFORM jobkit.tally(
            in_scheduled => -count(*) FILTER (WHERE f.state = 'scheduled'),
            in_queued => -count(*) FILTER (WHERE f.state = 'queued'),
            in_running => -count(*) FILTER (WHERE f.state = 'running'),
            in_parked => -count(*) FILTER (WHERE f.state = 'parked'),
            in_cancelled => CASE in_state WHEN 'cancelled' THEN count(*) ELSE 0 END,
            in_expired => CASE in_state WHEN 'expired' THEN count(*) ELSE 0 END, in_outbox => -gone)
        FROM unnest(found.ids, found.states) AS f (id, state) WHERE f.id = ANY (going);
        -- Each run of turns of a key at once.
        FOR turn IN
            SELECT o.type, o.key, min(o.sequence) AS first, max(o.sequence) AS last
            FROM (
                SELECT w.type, w.key, w.sequence,
                       w.sequence - row_number() OVER (PARTITION BY w.type, w.key ORDER BY w.sequence) AS run
                FROM jobkit.jobs w WHERE w.id = ANY (going) AND w.sequence IS NOT NULL
            ) o
            GROUP BY o.type, o.key, o.run ORDER BY o.type, o.key, o.run
        LOOP
            PERFORM jobkit.give_up(turn.type, turn.key, turn.first, turn.last, in_most);
        END LOOP;
        -- What they waited for goes like a group that was never declared whole.
        UPDATE jobkit.job_groups g SET undeclared = 1, touched = '-infinity'
        WHERE g.id = ANY (going) AND g.parent = g.id AND NOT g.settled;
        IF found.members > 0 THEN
            PERFORM jobkit.count_members(going, array_fill('unended'::text, ARRAY[cardinality(going)]),
                                         array_fill(in_state, ARRAY[cardinality(going)]), in_most);
        END IF;
        IF found.lines > 0 THEN
            PERFORM jobkit.give_places(l.type, l.line, '')
            FROM (SELECT DISTINCT w.type, w.line FROM jobkit.jobs w WHERE w.id = ANY (going) AND w.line IS NOT NULL) l;
        END IF;
        IF found.notices > 0 THEN
            PERFORM jobkit.tell_end(w.notices, in_state)
            FROM jobkit.jobs w WHERE w.id = ANY (going) AND w.notices IS NOT NULL;
        END IF;
    END IF;
    RETURN QUERY
    SELECT f.id, f.id = ANY (coalesce(going, '{}')),
           CASE WHEN f.id = ANY (coalesce(going, '{}')) THEN in_state ELSE f.state END, f.result
    FROM unnest(found.ids, found.states, found.results) AS f (id, state, result);
END $$;

-- The states of jobs that have yet to end.
CREATE OR REPLACE FUNCTION jobkit.unfinished() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY['scheduled', 'queued', 'running', 'parked']
$$;

-- Cancel jobs, as `end_early` tells. Also called in transactions of callers' own.
CREATE OR REPLACE FUNCTION jobkit.cancel_jobs(
    in_ids text[], in_by text, in_reason text, in_most integer, in_states text[]
) RETURNS TABLE (id text, cancelled boolean, state text, result bytea) LANGUAGE sql AS $$
    SELECT e.id, e.now_ended, e.state, e.result FROM jobkit.end_early(in_ids, in_states, 'cancelled', in_by, in_reason, in_most) e
$$;

-- End those jobs that were to have begun by now and have not; return which.
CREATE OR REPLACE FUNCTION jobkit.expire_jobs(in_ids text[], in_most integer) RETURNS TABLE (id text) LANGUAGE sql AS $$
    SELECT e.id
    FROM jobkit.end_early(in_ids, jobkit.unfinished(), 'expired', 'jobkit',
                          'it had not begun in time', in_most) e
    WHERE e.now_ended
$$;

-- End so many of them, those first whose time was over first; return which.
CREATE OR REPLACE FUNCTION jobkit.expire_due(in_limit integer, in_most integer) RETURNS TABLE (id text, type text)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    ids text[];
BEGIN
    SELECT array_agg(d.id) INTO ids
    FROM (
        SELECT j.id FROM jobkit.jobs j
        WHERE j.ended IS NULL AND j.expires IS NOT NULL AND j.expires <= jobkit.clock()
        ORDER BY j.expires, j.number LIMIT in_limit
    ) d;
    IF ids IS NOT NULL THEN
        RETURN QUERY SELECT w.id, w.type FROM jobkit.expire_jobs(ids, in_most) e JOIN jobkit.jobs w ON w.id = e.id;
    END IF;
END $$;
