-- Jobs that are to run later: they wait in an index by the time they are due, and then go to the outbox.

-- Release jobs that are due, `in_limit` at most, those first that were due first, and then members of groups that were held and
-- are whole; give those that are ordered their sequences. Answers their outbox entries.
CREATE OR REPLACE FUNCTION jobkit.release_scheduled(in_limit integer)
RETURNS TABLE ("position" bigint, sequence bigint, envelope bytea) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    ids text[];
    held_ids text[];
    whole text;
    upto bigint;
    given record;
    turn bigint;
    released integer := 0;
    new_keys integer := 0;
BEGIN
    SELECT array_agg(d.id ORDER BY d.due, d.number) INTO ids
    FROM (
        SELECT id, due, number FROM jobkit.jobs
        WHERE ended IS NULL AND due IS NOT NULL AND due <= jobkit.clock() ORDER BY due, number LIMIT in_limit
    ) d;
    IF coalesce(cardinality(ids), 0) < in_limit THEN
        SELECT g.id, g.released_to INTO whole, upto FROM jobkit.job_groups g
        WHERE g.to_release AND g.undeclared = 0 ORDER BY g.id LIMIT 1;
    END IF;
    IF whole IS NOT NULL THEN
        -- A member that closes a group itself waits for that one.
        SELECT array_agg(m.id ORDER BY m.number), max(m.number) INTO held_ids, upto
        FROM (
            SELECT j.id, j.number FROM jobkit.jobs j
            WHERE j.member_of = whole AND j.number > upto AND j.ended IS NULL AND j.due = 'infinity'
              AND NOT EXISTS (SELECT FROM jobkit.job_groups g WHERE g.id = j.id)
            ORDER BY j.number LIMIT in_limit - coalesce(cardinality(ids), 0)
        ) m;
        held_ids := coalesce(held_ids, '{}');
    END IF;
    IF ids IS NULL AND held_ids IS NULL THEN
        RETURN;
    END IF;
    ids := coalesce(ids, '{}') || coalesce(held_ids, '{}');
    -- The keys first, as everywhere.
    FOR given IN
        SELECT DISTINCT j.type, j.key FROM jobkit.jobs j WHERE j.id = ANY (ids) AND j.ordered ORDER BY 1, 2
    LOOP
        new_keys := new_keys + jobkit.lock_key(given.type, given.key)::integer;
    END LOOP;
    FOR given IN
        SELECT j.id, j.type, j.key, j.ordered, j.line, j.placed FROM jobkit.jobs j
        WHERE j.id = ANY (ids) AND j.ended IS NULL AND j.due IS NOT NULL ORDER BY j.due, j.number FOR UPDATE
    LOOP
        IF given.placed = false THEN
            -- The first of those who wait for a place is looked at anew, in case nobody has seen it.
            UPDATE jobkit.jobs SET due = jobkit.clock() + 60 WHERE id = given.id;
            PERFORM jobkit.give_places(given.type, given.line, '');
            CONTINUE;
        END IF;
        turn := NULL;
        IF given.ordered THEN
            UPDATE jobkit.keys SET submitted = submitted + 1, touched = jobkit.clock()
            WHERE type = given.type AND key = given.key RETURNING submitted INTO turn;
        END IF;
        UPDATE jobkit.jobs SET state = 'queued', due = NULL, ordered = NULL, sequence = turn WHERE id = given.id;
        PERFORM jobkit.publish(given.id, NULL);
        released := released + 1;
        CONTINUE WHEN given.line IS NOT NULL AND NOT jobkit.take_place(given.id);
        RETURN QUERY
        SELECT o.position, w.sequence, w.envelope FROM jobkit.jobs w JOIN jobkit.outbox o ON o.position = w.entry
        WHERE w.id = given.id;
    END LOOP;
    PERFORM jobkit.tally(in_scheduled => -released, in_queued => released, in_keys => new_keys);
    IF held_ids IS NOT NULL THEN
        UPDATE jobkit.job_groups g
        SET released_to = greatest(g.released_to, upto), to_release = cardinality(ids) = in_limit
        WHERE g.id = whole;
    END IF;
END $$;

-- Do so, and then tell of entries that nobody was told of, `in_limit` in all.
CREATE OR REPLACE FUNCTION jobkit.release_due(in_limit integer)
RETURNS TABLE ("position" bigint, sequence bigint, envelope bytea) LANGUAGE plpgsql AS $$
DECLARE
    released bigint;
BEGIN
    RETURN QUERY SELECT * FROM jobkit.release_scheduled(in_limit);
    GET DIAGNOSTICS released = ROW_COUNT;
    RETURN QUERY SELECT * FROM jobkit.take_untold((in_limit - released)::integer);
END $$;

-- Put an opened job back until so many seconds from now. Answers 'scheduled', 'refused' with the mark, 'unknown', or
-- 'ordered': it has a sequence.
CREATE OR REPLACE FUNCTION jobkit.snooze_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_after double precision,
    OUT answer text, OUT number bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    j record;
    gone integer;
BEGIN
    number := jobkit.refusal(in_type, in_key, in_token, in_nonce);
    answer := 'refused';
    IF number IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT state, sequence, entry, ended, line INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        answer := 'unknown';
    ELSIF j.sequence IS NOT NULL THEN
        answer := 'ordered';
    ELSIF j.ended IS NOT NULL THEN
        number := in_token;
    ELSE
        answer := 'scheduled';
        IF j.state <> 'scheduled' THEN
            UPDATE jobkit.jobs
            SET state = 'scheduled', due = jobkit.clock() + in_after, ordered = false, opens = opens - 1, placed = NULL
            WHERE id = in_id;
            DELETE FROM jobkit.inflight WHERE id = in_id;
            DELETE FROM jobkit.outbox WHERE position = j.entry;
            GET DIAGNOSTICS gone = ROW_COUNT;
            PERFORM jobkit.tally_state(j.state, 'scheduled');
            PERFORM jobkit.tally(in_outbox => -gone);
            IF j.line IS NOT NULL THEN
                PERFORM jobkit.give_places(in_type, j.line, '');
            END IF;
        END IF;
    END IF;
END $$;

-- Accept the members of a group, and put an opened job aside until they have ended. Answers a row as `snooze_job` does, and one
-- for each member that has an entry in the outbox.
--
-- Raises JK002 where the job has had a group, or a member is known.
CREATE OR REPLACE FUNCTION jobkit.suspend_job(
    in_id text, in_type text, in_key text, in_token bigint, in_nonce text, in_on_failure text, in_ids text[], in_types text[],
    in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[], in_traces text[], in_schemas integer[],
    in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[], in_afters double precision[],
    in_expire_ats double precision[], in_expire_afters double precision[], in_groups text[], in_most integer,
    in_lines text[], in_places integer[], in_notices text[]
) RETURNS TABLE (answer text, number bigint, place integer, "position" bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    was text;
    many integer := cardinality(in_ids);
    member record;
BEGIN
    SELECT s.answer, s.number INTO answer, number
    FROM jobkit.snooze_job(in_id, in_type, in_key, in_token, in_nonce, 'infinity') s;
    RETURN NEXT;
    IF answer <> 'scheduled' OR EXISTS (
        SELECT FROM jobkit.job_groups g WHERE g.id = in_id AND g.parent = in_id AND NOT g.settled
    ) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM jobkit.job_groups g WHERE g.id = in_id) THEN
        PERFORM jobkit.refuse_group(in_id, NULL);
    END IF;
    PERFORM jobkit.make_group(in_id, in_id, in_on_failure, many, false);
    FOR member IN
        SELECT s.place, s.answer, s.position FROM jobkit.submit_jobs_with_notices(
            in_ids, in_types, in_keys, in_ordered, in_slots, in_digests, in_traces, in_schemas, in_submitted_at, in_envelopes,
            in_ats, in_afters, in_expire_ats, in_expire_afters, array_fill(NULL::text, ARRAY[many]), '{}', '{}', '{}', in_most,
            array_fill(NULL::text, ARRAY[many]), in_groups, in_lines, in_places, in_notices) s
    LOOP
        IF member.answer NOT IN ('accepted', 'waits') THEN
            PERFORM jobkit.refuse_group(in_ids[member.place], in_id);
        END IF;
        answer := 'accepted'; number := NULL; place := member.place; "position" := member.position;
        RETURN NEXT;
    END LOOP;
END $$;
