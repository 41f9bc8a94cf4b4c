-- Groups of jobs: how they come into being, counts of their members, and what becomes of the job that closes one once the
-- last has ended.
--
-- The counts of a group are in several rows, its shards, so that members that end at the same time need not wait for one
-- another; a member belongs to one of them. A shard is open while it has members to wait for. Whoever closes the last one
-- settles the group. Shards are locked after all keys and jobs, in one order, and then their group; the key and the job that
-- settling needs are taken where they are free, else the transaction is overtaken.

-- A job that cannot be accepted because of groups: the caller writes nothing.
CREATE OR REPLACE FUNCTION jobkit.refuse_group(in_id text, in_group text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', in_id USING ERRCODE = 'JK002', DETAIL = coalesce(in_group, '');
END $$;

-- Accept jobs as `submit_named_jobs` does. Those that close a group say 'ON_FAILURE MEMBERS HELD' in `in_closes`, and those
-- that are members of one name it in `in_groups`. A group that is made in the commit of a member takes its place: then one
-- more row, with the answer 'joined', has its id in `other`.
--
-- Raises JK002 where a group or a member is known as something else, or there is no room in the group.
CREATE OR REPLACE FUNCTION jobkit.submit_grouped_jobs(
    in_ids text[], in_types text[], in_keys text[], in_ordered boolean[], in_slots bigint[], in_digests bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[], in_envelopes bytea[], in_ats double precision[],
    in_afters double precision[], in_expire_ats double precision[], in_expire_afters double precision[], in_sources text[],
    in_names text[], in_whiles text[], in_replacing boolean[], in_most integer, in_closes text[], in_groups text[]
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
    accepted refcursor;
    answers text[] := '{}';
    given record;
    of_group record;
BEGIN
    IF cardinality(in_names) > 0 THEN
        OPEN accepted FOR SELECT s.* FROM jobkit.submit_named_jobs(
            in_ids, in_types, in_keys, in_ordered, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
            in_envelopes, in_ats, in_afters, in_expire_ats, in_expire_afters, in_sources, in_names, in_whiles, in_replacing,
            in_most) s ORDER BY s.place;
    ELSE
        OPEN accepted FOR SELECT s.*, NULL::text, NULL::text FROM jobkit.submit_jobs(
            in_ids, in_types, in_keys, in_ordered, in_slots, in_digests, in_traces, in_schemas, in_submitted_at,
            in_envelopes, in_ats, in_afters, in_expire_ats, in_expire_afters, in_sources) s;
    END IF;
    LOOP
        FETCH accepted INTO place, answer, "position", sequence, submitted_at, trace, schema, due, other, key;
        EXIT WHEN NOT FOUND;
        answers := answers || answer;
        RETURN NEXT;
    END LOOP;
    CLOSE accepted;
    FOR given IN
        SELECT g.id, g.source, g.answer, split_part(g.closes, ' ', 1) AS on_failure,
               split_part(g.closes, ' ', 2)::integer AS members, split_part(g.closes, ' ', 3) = '1' AS held
        FROM unnest(in_ids, in_sources, in_closes, answers) WITH ORDINALITY AS g (id, source, closes, answer, place)
        WHERE g.closes IS NOT NULL ORDER BY g.place
    LOOP
        IF given.answer = 'accepted' THEN
            PERFORM jobkit.make_group(given.id, given.source, given.on_failure, given.members, given.held);
            UPDATE jobkit.jobs j SET member_of = m.member_of, shard = m.shard
            FROM jobkit.jobs m WHERE j.id = given.id AND m.id = given.source AND m.member_of IS NOT NULL;
            IF FOUND THEN
                place := NULL; answer := 'joined'; other := given.id;
                RETURN NEXT;
            END IF;
        ELSIF NOT EXISTS (
            SELECT FROM jobkit.job_groups k WHERE k.id = given.id AND k.on_failure = given.on_failure
            AND k.members = given.members AND k.held = given.held
        ) OR given.answer <> 'known' THEN
            PERFORM jobkit.refuse_group(given.id, NULL);
        END IF;
    END LOOP;
    -- What was known before is a member of the group, or was accepted just above, too.
    FOR given IN
        SELECT g.id, g.grp FROM unnest(in_ids, in_groups, answers) AS g (id, grp, answer)
        LEFT JOIN jobkit.jobs j ON j.id = g.id
        WHERE g.grp IS NOT NULL AND g.answer <> 'accepted' AND (g.answer <> 'known' OR j.member_of IS DISTINCT FROM g.grp)
        LIMIT 1
    LOOP
        PERFORM jobkit.refuse_group(given.id, given.grp);
    END LOOP;
    FOR given IN
        SELECT g.grp, array_agg(g.id ORDER BY g.place) AS ids
        FROM unnest(in_ids, in_groups, answers) WITH ORDINALITY AS g (id, grp, answer, place)
        WHERE g.grp IS NOT NULL AND g.answer = 'accepted' GROUP BY g.grp ORDER BY g.grp
    LOOP
        UPDATE jobkit.job_groups g SET undeclared = g.undeclared - cardinality(given.ids), touched = jobkit.clock()
        WHERE g.id = given.grp AND g.undeclared >= cardinality(given.ids) AND NOT g.abandoned
        RETURNING g.members - g.undeclared - cardinality(given.ids) AS declared, g.shards INTO of_group;
        IF NOT FOUND THEN
            PERFORM jobkit.refuse_group(given.ids[1], given.grp);
        END IF;
        UPDATE jobkit.jobs j SET member_of = given.grp, shard = (of_group.declared + m.place - 1) % of_group.shards
        FROM unnest(given.ids) WITH ORDINALITY AS m (id, place) WHERE j.id = m.id;
    END LOOP;
END $$;

-- Make a group, with all of its members counted before they come: so it cannot be settled before the last is there.
CREATE OR REPLACE FUNCTION jobkit.make_group(
    in_id text, in_parent text, in_on_failure text, in_members integer, in_held boolean
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    many integer := least(16, 1 + in_members / 32);
BEGIN
    INSERT INTO jobkit.job_groups (id, parent, on_failure, members, held, to_release, undeclared, shards, open_shards, touched)
    VALUES (in_id, in_parent, in_on_failure, in_members, in_held, in_held, in_members, many, many, jobkit.clock());
    INSERT INTO jobkit.job_group_counts (id, shard, waits, unended)
    SELECT in_id, s.shard, in_on_failure = 'wait', (in_members - s.shard + many - 1) / many
    FROM generate_series(0, many - 1) AS s (shard);
END $$;

-- Count jobs, those of them that are members of groups, that were one thing ('unended' or a way to end; NULL where one is
-- new) and become another. Where that leaves a group none to wait for, it is settled. Answers the jobs that such a release
-- follows from.
CREATE OR REPLACE FUNCTION jobkit.count_members(in_ids text[], in_was text[], in_becomes text[], in_most integer)
RETURNS TABLE (source text) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    step record;
    now_is record;
    of_group record;
    is_open boolean;
BEGIN
    FOR step IN
        SELECT j.member_of, j.shard, min(c.id) FILTER (WHERE c.was IS NOT NULL) AS id,
               sum((c.becomes = 'unended')::integer - coalesce((c.was = 'unended')::integer, 0)) AS unended,
               sum((c.becomes = 'dead')::integer - coalesce((c.was = 'dead')::integer, 0)) AS dead,
               sum((c.becomes = 'purged')::integer - coalesce((c.was = 'purged')::integer, 0)) AS purged,
               sum((c.becomes = 'committed')::integer) AS committed, sum((c.becomes = 'cancelled')::integer) AS cancelled,
               sum((c.becomes = 'expired')::integer) AS expired
        FROM unnest(in_ids, in_was, in_becomes) AS c (id, was, becomes) JOIN jobkit.jobs j ON j.id = c.id
        WHERE j.member_of IS NOT NULL GROUP BY j.member_of, j.shard ORDER BY j.member_of, j.shard
    LOOP
        UPDATE jobkit.job_group_counts k
        SET unended = k.unended + step.unended, committed = k.committed + step.committed, dead = k.dead + step.dead,
            purged = k.purged + step.purged, cancelled = k.cancelled + step.cancelled, expired = k.expired + step.expired
        WHERE k.id = step.member_of AND k.shard = step.shard
        RETURNING k.unended, k.dead, k.waits INTO now_is;
        CONTINUE WHEN NOT FOUND;
        is_open := now_is.unended > 0 OR now_is.waits AND now_is.dead > 0;
        CONTINUE WHEN is_open = (now_is.unended - step.unended > 0 OR now_is.waits AND now_is.dead - step.dead > 0);
        UPDATE jobkit.job_groups g SET open_shards = g.open_shards + CASE WHEN is_open THEN 1 ELSE -1 END
        WHERE g.id = step.member_of RETURNING g.open_shards, g.settled INTO of_group;
        IF of_group.open_shards = 0 AND NOT of_group.settled AND jobkit.settle_group(
            step.member_of, CASE WHEN step.committed > 0 THEN step.id ELSE '' END, in_most) THEN
            source := step.id;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Release the job that closes a group, as following from `in_source`, or dead-letter it; tell whether it was released.
CREATE OR REPLACE FUNCTION jobkit.settle_group(in_id text, in_source text, in_most integer) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    j record;
    policy text;
    turn bigint;
    new_keys integer := 0;
BEGIN
    UPDATE jobkit.job_groups SET settled = true WHERE id = in_id RETURNING on_failure INTO policy;
    SELECT type, key, ordered, envelope INTO j FROM jobkit.jobs
    WHERE id = in_id AND state = 'scheduled' AND due = 'infinity' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM jobkit.jobs WHERE id = in_id AND state = 'scheduled' AND due = 'infinity') THEN
            PERFORM jobkit.overtaken('the job that closes a group');
        END IF;
        -- It was cancelled, or has expired.
        RETURN false;
    END IF;
    IF policy <> 'run' AND EXISTS (
        SELECT FROM jobkit.job_group_counts WHERE id = in_id AND dead + purged + cancelled + expired > 0
    ) THEN
        INSERT INTO jobkit.dead (id, type, key, reason, detail, raw, envelope, died_at)
        VALUES (in_id, j.type, j.key, 'members of its group failed', '',
                substring(j.envelope FROM position('\x0a'::bytea IN j.envelope) + 1), j.envelope, jobkit.clock());
        PERFORM jobkit.end_job(in_id, 'members of its group failed', in_most);
        RETURN false;
    END IF;
    IF j.ordered THEN
        PERFORM FROM jobkit.keys WHERE type = j.type AND key = j.key FOR UPDATE SKIP LOCKED;
        IF NOT FOUND AND EXISTS (SELECT FROM jobkit.keys WHERE type = j.type AND key = j.key) THEN
            PERFORM jobkit.overtaken('the key of the job that closes a group');
        END IF;
        new_keys := jobkit.lock_key(j.type, j.key)::integer;
        turn := jobkit.next_sequence(j.type, j.key);
    END IF;
    UPDATE jobkit.jobs SET state = 'queued', due = NULL, ordered = NULL, sequence = turn WHERE id = in_id;
    PERFORM jobkit.publish(in_id, in_source);
    PERFORM jobkit.tally(in_scheduled => -1, in_queued => 1, in_keys => new_keys);
    PERFORM jobkit.take_place(in_id);
    RETURN true;
END $$;

-- End so many members of a group that was never declared whole, or that nobody waits for, and the job that closes it last.
CREATE OR REPLACE FUNCTION jobkit.drop_group(in_within double precision, in_batch integer, in_most integer) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    dropped text;
    is_awaited boolean;
    ids text[];
BEGIN
    SELECT id, coalesce(parent = id, false) INTO dropped, is_awaited FROM jobkit.job_groups
    WHERE undeclared > 0 AND touched < jobkit.clock() - in_within ORDER BY touched LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE jobkit.job_groups SET abandoned = true, settled = true WHERE id = dropped;
    SELECT coalesce(array_agg(m.id), '{}') INTO ids FROM (
        SELECT j.id FROM jobkit.jobs j WHERE j.member_of = dropped AND j.ended IS NULL LIMIT in_batch) m;
    IF cardinality(ids) < in_batch THEN
        ids := ids || dropped;
        UPDATE jobkit.job_groups SET undeclared = 0, to_release = false WHERE id = dropped;
    END IF;
    PERFORM jobkit.cancel_jobs(ids, 'jobkit', CASE
        WHEN is_awaited THEN 'the job that waited for its group was cancelled'
        ELSE 'its group was never declared whole' END, in_most,
        jobkit.unfinished());
END $$;
