-- Tenants that take turns: each has so many places, and jobs beyond wait in a line for one of them to be given up.
--
-- A job that waits is scheduled, for no time. Nothing is locked for it: transactions that overlap may see a line as it was, and
-- give out a few places too many, or none to a job that was accepted meanwhile. So the first of each line is looked at again after
-- a while, as one that is due. Jobs that somebody else has locked are passed over, hence no order of locks has to be kept.

-- Note in which line a new job waits, and have it take a place or wait for one, where it is queued. Answers whether it waits.
CREATE OR REPLACE FUNCTION jobkit.enter_line(in_id text, in_line text, in_places integer) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    found text;
BEGIN
    UPDATE jobkit.jobs SET line = in_line, places = in_places
    WHERE id = in_id AND line IS NULL AND ended IS NULL AND started_at IS NULL RETURNING state INTO found;
    RETURN found = 'queued' AND NOT jobkit.take_place(in_id);
END $$;

-- Give a queued job that is in no line yet a place; or take it out of the outbox and have it wait, and answer false. One that
-- is no tenant's needs none.
CREATE OR REPLACE FUNCTION jobkit.take_place(in_id text) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    j record;
    is_first boolean;
    gone integer;
BEGIN
    SELECT type, line, places, entry INTO j FROM jobkit.jobs WHERE id = in_id;
    IF j.line IS NULL THEN
        RETURN true;
    END IF;
    is_first := NOT EXISTS (
        SELECT FROM jobkit.jobs w WHERE w.type = j.type AND w.line = j.line AND w.placed = false AND w.ended IS NULL);
    IF is_first AND jobkit.taken_places(j.type, j.line, j.places) < j.places THEN
        UPDATE jobkit.jobs SET placed = true WHERE id = in_id;
        RETURN true;
    END IF;
    DELETE FROM jobkit.outbox WHERE position = j.entry;
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE jobkit.jobs
    SET placed = false, state = 'scheduled', due = CASE WHEN is_first THEN jobkit.clock() + 5 ELSE 'infinity' END
    WHERE id = in_id;
    PERFORM jobkit.tally(in_queued => -1, in_scheduled => 1, in_outbox => -gone);
    RETURN false;
END $$;

-- Count the jobs that have a place in a line, up to as many as there are.
CREATE OR REPLACE FUNCTION jobkit.taken_places(in_type text, in_line text, in_places integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM (
        SELECT FROM jobkit.jobs j WHERE j.type = in_type AND j.line = in_line AND j.placed = true AND j.ended IS NULL
        LIMIT in_places
    ) t
$$;

-- Have those of a line go to the outbox for whom there are places, as following from `in_source`, empty where that is no commit.
CREATE OR REPLACE FUNCTION jobkit.give_places(in_type text, in_line text, in_source text) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    w record;
BEGIN
    LOOP
        SELECT j.id, j.places, j.due INTO w FROM jobkit.jobs j
        WHERE j.type = in_type AND j.line = in_line AND j.placed = false AND j.ended IS NULL
        ORDER BY j.number LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        IF jobkit.taken_places(in_type, in_line, w.places) >= w.places THEN
            IF w.due = 'infinity' THEN
                UPDATE jobkit.jobs SET due = jobkit.clock() + 60 WHERE id = w.id;
            END IF;
            EXIT;
        END IF;
        UPDATE jobkit.jobs SET placed = true, state = 'queued', due = NULL, ordered = NULL WHERE id = w.id;
        PERFORM jobkit.publish(w.id, in_source);
        PERFORM jobkit.tally(in_scheduled => -1, in_queued => 1);
    END LOOP;
END $$;

-- Move a job that has not begun to another line; answer its new entry in the outbox, where it has a place there.
CREATE OR REPLACE FUNCTION jobkit.change_line(in_id text, in_line text) RETURNS bigint LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    j record;
    place bigint;
BEGIN
    SELECT type, line, placed INTO j FROM jobkit.jobs WHERE id = in_id;
    UPDATE jobkit.jobs SET line = in_line, placed = NULL WHERE id = in_id;
    IF j.placed IS NULL THEN
        -- It has a time of its own, and comes into the line then.
        RETURN NULL;
    END IF;
    IF NOT j.placed THEN
        UPDATE jobkit.jobs SET state = 'queued', due = NULL, ordered = NULL WHERE id = in_id;
        PERFORM jobkit.tally(in_scheduled => -1, in_queued => 1);
    END IF;
    PERFORM jobkit.publish(in_id, NULL);
    IF jobkit.take_place(in_id) THEN
        SELECT entry INTO place FROM jobkit.jobs WHERE id = in_id;
    END IF;
    PERFORM jobkit.give_places(j.type, j.line, '');
    RETURN place;
END $$;

-- Accept jobs as `submit_grouped_jobs` does. Tenants' say in which line they wait, and how many places are in that. One more
-- answer is 'waits'.
CREATE OR REPLACE FUNCTION jobkit.submit_jobs_of_tenants(
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[],
    in_afters double precision[], in_expire_ats double precision[], in_expire_afters double precision[], in_sources text[],
    in_names text[], in_whiles text[], in_replacing boolean[], in_most integer, in_closes text[], in_groups text[],
    in_lines text[], in_places integer[]
) RETURNS TABLE (
    place integer, answer text, "position" bigint, sequence bigint, submitted_at double precision, trace text,
    schema integer, due double precision, other text, key text
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    FOR place, answer, "position", sequence, submitted_at, trace, schema, due, other, key IN
        SELECT s.* FROM jobkit.submit_grouped_jobs(
            in_ids, in_types, in_keys, in_ordered, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
            in_envelopes, in_ats, in_afters, in_expire_ats, in_expire_afters, in_sources, in_names, in_whiles, in_replacing,
            in_most, in_closes, in_groups) s
        ORDER BY s.place
    LOOP
        IF answer = 'accepted' AND in_lines[place] IS NOT NULL
           AND jobkit.enter_line(in_ids[place], in_lines[place], in_places[place]) THEN
            answer := 'waits';
            "position" := NULL;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
