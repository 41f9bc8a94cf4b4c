-- Forgetting: jobs that nobody has to act on after their time, and the marks of keys that nobody uses.
--
-- Only keys without any other truth lose their row: no sequences, no log, no records, no manifest, no files of steps, no job that
-- has yet to end. For the rest the row is the truth. The highest mark forgotten becomes the floor for keys without a row, so a
-- forgotten key accepts no token that it would have refused. What somebody else has locked is left for the next time,
-- so forgetting waits for nobody; and one does it at a time.

CREATE OR REPLACE FUNCTION jobkit.prune(
    in_older_than double precision, in_keep_at_most bigint, in_batch integer, in_keys integer, in_within double precision,
    in_most integer
) RETURNS integer LANGUAGE plpgsql
-- Whatever is asked for here is read from an index in its order, so that it costs the same however much there is.
SET plan_cache_mode = force_generic_plan SET jit = off SET enable_sort = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    before double precision := jobkit.clock() - in_older_than;
    cursor record;
    surplus bigint;
    going record;
    gone integer := 0;
    dead_gone integer := 0;
    cancelled_gone integer := 0;
    expired_gone integer := 0;
    gone_of_key record;
    held text[];
    looked record;
    dropped record;
BEGIN
    SELECT * INTO cursor FROM jobkit.retention FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM jobkit.drop_group(in_within, in_batch, in_most);
    SELECT greatest(0, coalesce(sum(committed + purged + cancelled + expired), 0) - in_keep_at_most) INTO surplus FROM jobkit.tallies;

    -- What holds its key up, or is referred to, comes last the next time.
    SELECT array_agg(o.id) INTO held
    FROM (
        SELECT d.* FROM (
            SELECT id, type, key, sequence, state, entry, settled, member_of FROM jobkit.jobs WHERE settled IS NOT NULL
            ORDER BY settled, number LIMIT in_batch
        ) d WHERE surplus > 0 OR d.settled < before OFFSET 0
    ) o
    -- Joined, each by its index: of EXISTS beside OR the server reads the whole table.
    LEFT JOIN jobkit.keys k ON o.state <> 'committed' AND k.type = o.type AND k.key = o.key
    LEFT JOIN jobkit.outbox e ON e.position = o.entry
    LEFT JOIN jobkit.inflight i ON i.id = o.id
    LEFT JOIN jobkit.parked p ON p.id = o.id
    LEFT JOIN jobkit.job_groups m ON m.id = o.member_of
    LEFT JOIN jobkit.job_groups g ON g.id = o.id AND NOT g.abandoned AND EXISTS (
        SELECT FROM jobkit.job_group_counts c WHERE c.id = g.id AND c.unended > 0)
    WHERE o.state <> 'committed' AND o.sequence > coalesce(k.committed, 0)
       OR e.position IS NOT NULL OR i.id IS NOT NULL OR p.id IS NOT NULL OR m.id IS NOT NULL OR g.id IS NOT NULL;
    IF held IS NOT NULL THEN
        UPDATE jobkit.jobs SET settled = jobkit.clock() WHERE id = ANY (held);
    END IF;

    -- Jobs: the oldest, key by key, those without a sequence together.
    FOR going IN
        SELECT g.ordered, g.type, g.key, max(g.sequence) AS sequence, array_agg(g.number) AS numbers
        FROM (
            SELECT number, sequence, settled, sequence IS NOT NULL AS ordered,
                   CASE WHEN sequence IS NOT NULL THEN type END AS type,
                   CASE WHEN sequence IS NOT NULL THEN key END AS key,
                   row_number() OVER (ORDER BY settled, number) AS place
            FROM (
                SELECT number, type, key, sequence, settled FROM jobkit.jobs
                WHERE settled IS NOT NULL AND id <> ALL (coalesce(held, '{}'))
                ORDER BY settled, number LIMIT in_batch
            ) oldest
        ) g
        WHERE g.place <= surplus OR g.settled < before
        GROUP BY g.ordered, g.type, g.key
    LOOP
        IF going.ordered THEN
            PERFORM FROM jobkit.keys WHERE type = going.type AND key = going.key FOR UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            UPDATE jobkit.keys SET forgotten = greatest(forgotten, going.sequence)
            WHERE type = going.type AND key = going.key;
        END IF;
        WITH leaving AS (
            DELETE FROM jobkit.jobs WHERE number = ANY (going.numbers) AND settled IS NOT NULL RETURNING state, id
        ), groups AS (
            DELETE FROM jobkit.job_groups g USING leaving l WHERE g.id = l.id RETURNING g.id
        ), counts AS (
            DELETE FROM jobkit.job_group_counts c USING groups g WHERE c.id = g.id
        )
        SELECT count(*) AS jobs, count(*) FILTER (WHERE state = 'dead') AS dead,
               count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
               count(*) FILTER (WHERE state = 'expired') AS expired
        INTO gone_of_key FROM leaving;
        gone := gone + gone_of_key.jobs;
        dead_gone := dead_gone + gone_of_key.dead;
        cancelled_gone := cancelled_gone + gone_of_key.cancelled;
        expired_gone := expired_gone + gone_of_key.expired;
    END LOOP;

    -- Keys: the next so many, from where the last look ended, so that each key's turn comes round. They are found one
    -- by one, since an index is not left at the upper bound of (type, key) as long as the type is the same.
    SELECT array_agg(n.type) AS types, array_agg(n.key) AS keys INTO looked
    FROM (
        SELECT type, key FROM jobkit.keys
        WHERE (type, key) > (cursor.cursor_type, cursor.cursor_key) ORDER BY type, key LIMIT in_keys
    ) n;
    WITH idle AS (
        SELECT k.type, k.key, k.token
        FROM unnest(looked.types, looked.keys) AS n (type, key) JOIN jobkit.keys k ON k.type = n.type AND k.key = n.key
        WHERE k.touched <= before AND k.submitted = 0 AND k.committed = 0 AND k.log_length = 0
          AND NOT EXISTS (SELECT FROM jobkit.records r WHERE r.type = k.type AND r.key = k.key)
          AND NOT EXISTS (SELECT FROM jobkit.manifests m WHERE m.type = k.type AND m.key = k.key)
          AND NOT EXISTS (SELECT FROM jobkit.checkpoints c WHERE c.type = k.type AND c.key = k.key AND c.blobs <> '')
          AND NOT EXISTS (SELECT FROM jobkit.jobs j WHERE j.type = k.type AND j.key = k.key AND j.ended IS NULL)
        FOR UPDATE OF k SKIP LOCKED
    ), leaving AS (
        DELETE FROM jobkit.keys k USING idle i WHERE k.type = i.type AND k.key = i.key RETURNING i.token
    )
    SELECT count(*) AS keys, coalesce(max(token), 0) AS floor INTO dropped FROM leaving;
    UPDATE jobkit.retention
    SET floor = greatest(floor, dropped.floor),
        -- None where these were the last.
        cursor_type = coalesce(looked.types[in_keys], ''), cursor_key = coalesce(looked.keys[in_keys], '');
    PERFORM jobkit.tally(in_committed => dead_gone + cancelled_gone + expired_gone - gone, in_dead => -dead_gone,
                         in_purged => -dead_gone, in_cancelled => -cancelled_gone, in_expired => -expired_gone,
                         in_keys => -dropped.keys);
    PERFORM jobkit.fold_tallies();
    RETURN gone;
END $$;
