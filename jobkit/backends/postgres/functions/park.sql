-- Jobs that are set aside, moved out of their delivery, or brought back. Each function changes jobs of one key, under
-- its lock.

-- Set a job aside while the gap before it is open; where it has closed, put it into the outbox. Answers 'parked',
-- 'requeued', 'duplicate' (it has ended), 'superseded' (it is not known, and its sequence is another's) or 'unordered'.
CREATE OR REPLACE FUNCTION jobkit.park_job(
    in_id text, in_type text, in_key text, in_sequence bigint, in_slot bigint, in_digest bytea, in_trace text,
    in_schema integer, in_submitted_at double precision, in_envelope bytea, in_notices text, in_highest bigint, in_reason text
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    j record;
    k record;
    turn bigint;
    gone integer;
BEGIN
    -- Made where it is missing, so that whoever closes the gap meanwhile waits for this, or this for them.
    PERFORM jobkit.tally(in_keys => jobkit.lock_key(in_type, in_key)::integer);
    SELECT committed, forgotten INTO k FROM jobkit.keys WHERE type = in_type AND key = in_key;
    SELECT state, sequence, entry INTO j FROM jobkit.jobs WHERE id = in_id;
    turn := CASE WHEN j.state IS NULL THEN in_sequence ELSE j.sequence END;
    IF j.state IN ('committed', 'dead', 'cancelled', 'expired', 'scheduled') OR j.state IS NULL AND turn <= k.forgotten THEN
        RETURN 'duplicate';
    ELSIF turn IS NULL THEN
        RETURN 'unordered';
    ELSIF j.state IS NULL AND turn BETWEEN k.committed + 1 AND in_highest
          AND jobkit.is_taken(in_type, in_key, turn) THEN
        RETURN 'superseded';
    ELSIF j.state IS NULL THEN
        PERFORM jobkit.insert_foreign(in_id, in_type, in_key, in_sequence, in_slot, in_digest, in_trace, in_schema,
                                      in_submitted_at, in_envelope, in_notices, in_highest);
        PERFORM jobkit.tally(in_queued => 1);
    END IF;
    -- Parked, it is kept there: the in-flight table would have its partition's leader try it again and again.
    DELETE FROM jobkit.inflight WHERE id = in_id;
    IF turn <= k.committed + 1 THEN
        PERFORM jobkit.publish(in_id, '');
        RETURN 'requeued';
    END IF;
    DELETE FROM jobkit.outbox WHERE position = j.entry;
    GET DIAGNOSTICS gone = ROW_COUNT;
    INSERT INTO jobkit.parked (type, key, sequence, id, reason, parked_at)
    VALUES (in_type, in_key, turn, in_id, in_reason, jobkit.clock())
    ON CONFLICT DO NOTHING;
    PERFORM jobkit.tally_state(coalesce(j.state, 'queued'), 'parked');
    PERFORM jobkit.tally(in_outbox => -gone);
    UPDATE jobkit.jobs SET state = 'parked' WHERE id = in_id;
    RETURN 'parked';
END $$;

-- Move the next parked jobs, from sequence `in_expected` on without a gap, to the outbox in order; return how many. At
-- most `in_most` at a time, however many wait: each brings the next. Those below `in_expected` go too: their turn is
-- over, and opening them says what becomes of them.
CREATE OR REPLACE FUNCTION jobkit.release_parked(
    in_type text, in_key text, in_expected bigint, in_source text, in_most integer
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    waiting record;
    released integer := 0;
    woken integer := 0;
BEGIN
    FOR waiting IN
        SELECT sequence, id FROM jobkit.parked WHERE type = in_type AND key = in_key ORDER BY sequence, id
        LIMIT in_most
    LOOP
        EXIT WHEN waiting.sequence > in_expected;
        in_expected := greatest(in_expected, waiting.sequence + 1);
        DELETE FROM jobkit.parked WHERE id = waiting.id;
        UPDATE jobkit.jobs SET state = 'queued' WHERE id = waiting.id AND state = 'parked';
        woken := woken + FOUND::integer;
        PERFORM jobkit.publish(waiting.id, in_source);
        released := released + 1;
    END LOOP;
    PERFORM jobkit.tally(in_queued => woken, in_parked => -woken);
    RETURN released;
END $$;

-- Keep a job in the in-flight table until it ends. Answers 'shelved', 'duplicate' (it has ended), 'superseded' (it is not
-- known, and its sequence is another's) or 'conflict' (its id is that of another job). Called under `lock_jobs`.
CREATE OR REPLACE FUNCTION jobkit.shelve_job(
    in_id text, in_type text, in_key text, in_sequence bigint, in_slot bigint, in_digest bytea, in_trace text,
    in_schema integer, in_submitted_at double precision, in_envelope bytea, in_notices text, in_highest bigint, in_keyless bytea,
    in_place text, in_number integer
) RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    j record;
    k record;
    there record;
    wanted integer;
    previous integer;
BEGIN
    -- Locked, so that the job does not end, and empty the table, between the look and the entry.
    SELECT key, digest, ended, due INTO j FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM jobkit.tally(in_keys => jobkit.lock_key(in_type, in_key)::integer);
        SELECT committed, forgotten INTO k FROM jobkit.keys WHERE type = in_type AND key = in_key;
        IF in_sequence <= k.forgotten THEN
            RETURN 'duplicate';
        ELSIF in_sequence BETWEEN k.committed + 1 AND in_highest
              AND jobkit.is_taken(in_type, in_key, in_sequence) THEN
            RETURN 'superseded';
        END IF;
        PERFORM jobkit.insert_foreign(in_id, in_type, in_key, in_sequence, in_slot, in_digest, in_trace, in_schema,
                                      in_submitted_at, in_envelope, in_notices, in_highest);
        PERFORM jobkit.tally(in_queued => 1);
    ELSIF j.digest <> (CASE WHEN j.key IS NULL THEN in_keyless ELSE in_digest END) THEN
        RETURN 'conflict';
    ELSIF j.ended IS NOT NULL OR j.due IS NOT NULL THEN
        RETURN 'duplicate';
    END IF;
    -- Where nobody leads that partition any more, it is the key's own.
    wanted := coalesce((SELECT in_slot % l.partitions FROM jobkit.layouts l
                        WHERE l.type = in_place AND in_number >= split_part(l.layout, ' ', 3)::integer), in_number);
    SELECT position, number INTO there FROM jobkit.inflight WHERE id = in_id;
    -- As long as those of its key before it are elsewhere, it is behind them there.
    previous := coalesce((SELECT i.number FROM jobkit.inflight i
                          WHERE i.type = in_place AND i.key = in_key
                                AND i.position < coalesce(there.position, 9223372036854775807)
                          ORDER BY i.position DESC LIMIT 1), wanted);
    IF there.position IS NULL THEN
        INSERT INTO jobkit.inflight (id, type, number, key) VALUES (in_id, in_place, previous, in_key)
        ON CONFLICT DO NOTHING;
    ELSIF there.number <> wanted AND previous = wanted THEN
        UPDATE jobkit.inflight SET number = wanted WHERE id = in_id;
    END IF;
    RETURN 'shelved';
END $$;

-- The keys above `in_after` that have jobs in the in-flight table, in order, by looking at the first of each alone.
CREATE OR REPLACE FUNCTION jobkit.shelved_keys(in_place text, in_number integer, in_after text, in_limit integer)
RETURNS TABLE (key text) LANGUAGE sql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    WITH RECURSIVE found (key) AS (
        (SELECT i.key FROM jobkit.inflight i
         WHERE i.type = in_place AND i.number = in_number AND i.key > in_after
         ORDER BY i.key LIMIT 1)
        UNION ALL
        SELECT (SELECT i.key FROM jobkit.inflight i
                WHERE i.type = in_place AND i.number = in_number AND i.key > f.key
                ORDER BY i.key LIMIT 1)
        FROM found f WHERE f.key IS NOT NULL
    )
    SELECT f.key FROM found f WHERE f.key IS NOT NULL LIMIT in_limit
$$;

-- What a key stands still for: of its parked jobs the first ones are looked at, and so many are counted at most.
CREATE OR REPLACE FUNCTION jobkit.gap(in_type text, in_key text, in_counted integer, in_looked_at integer)
RETURNS TABLE (type text, key text, expected bigint, first bigint, parked bigint, reason text, since double precision)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT in_type, in_key,
           coalesce((SELECT k.committed FROM jobkit.keys k WHERE k.type = in_type AND k.key = in_key), 0) + 1,
           p.sequence,
           (SELECT count(*) FROM (SELECT FROM jobkit.parked c
                                  WHERE c.type = in_type AND c.key = in_key LIMIT in_counted) counted),
           p.reason,
           (SELECT min(l.parked_at) FROM (SELECT s.parked_at FROM jobkit.parked s
                                          WHERE s.type = in_type AND s.key = in_key
                                          ORDER BY s.sequence, s.id LIMIT in_looked_at) l)
    FROM jobkit.parked p WHERE p.type = in_type AND p.key = in_key ORDER BY p.sequence, p.id LIMIT 1
$$;

-- The keys above (in_type, in_key) that stand still, in order, by looking at the first parked jobs of each alone.
CREATE OR REPLACE FUNCTION jobkit.gaps(
    in_type text, in_key text, in_limit integer, in_counted integer, in_looked_at integer
) RETURNS TABLE (type text, key text, expected bigint, first bigint, parked bigint, reason text, since double precision)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    WITH RECURSIVE found (type, key) AS (
        (SELECT p.type, p.key FROM jobkit.parked p WHERE (p.type, p.key) > (in_type COLLATE "C", in_key COLLATE "C")
         ORDER BY p.type, p.key LIMIT 1)
        UNION ALL
        SELECT n.type, n.key FROM found f CROSS JOIN LATERAL (
            SELECT p.type, p.key FROM jobkit.parked p WHERE (p.type, p.key) > (f.type, f.key)
            ORDER BY p.type, p.key LIMIT 1) n
    )
    SELECT g.* FROM (SELECT f.type, f.key FROM found f LIMIT in_limit) f
    CROSS JOIN LATERAL jobkit.gap(f.type, f.key, in_counted, in_looked_at) g
$$;
