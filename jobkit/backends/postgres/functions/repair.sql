-- The repairs that only a command may do: requeue, resume, skip.

-- Put a dead letter's envelope into the outbox; where it is a job's own, the job starts afresh, and where there is no
-- such job, it becomes one. One whose sequence can never have its turn gets its key's next, and so does one that is ordered
-- and died before it was due. Answers
-- whether it could: false where there is no such letter, or its id is another job's; or where `holder` holds the unique name
-- that the job had.
CREATE OR REPLACE FUNCTION jobkit.requeue_dead(
    in_number bigint, in_id text, in_type text, in_key text, in_sequence bigint, in_slot bigint, in_digest bytea,
    in_trace text, in_schema integer, in_submitted_at double precision, in_envelope bytea, in_notices text, in_highest bigint,
    in_keyless bytea, in_most integer, OUT requeued boolean, OUT holder text, OUT name text
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    j record;
    h record;
    done bigint;
BEGIN
    requeued := false;
    SELECT unique_name INTO name FROM jobkit.jobs WHERE id = in_id;
    PERFORM jobkit.lock_names(ARRAY[in_type], ARRAY[name]);
    PERFORM FROM jobkit.keys k JOIN jobkit.jobs w USING (type, key) WHERE w.id = in_id FOR UPDATE OF k;
    IF NOT FOUND AND in_key IS NOT NULL
       AND (in_sequence IS NOT NULL OR EXISTS (SELECT FROM jobkit.jobs WHERE id = in_id AND ordered)) THEN
        PERFORM jobkit.tally(in_keys => jobkit.lock_key(in_type, in_key)::integer);
    END IF;
    PERFORM FROM jobkit.dead WHERE number = in_number AND envelope IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT key, digest, state, sequence, ordered, member_of, CASE WHEN settled IS NULL THEN 'dead' ELSE 'purged' END AS was INTO j
    FROM jobkit.jobs WHERE id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        SELECT committed INTO done FROM jobkit.keys WHERE type = in_type AND key = in_key;
        IF in_sequence <= done OR in_sequence <= in_highest AND jobkit.is_taken(in_type, in_key, in_sequence) THEN
            in_sequence := jobkit.next_sequence(in_type, in_key);
        END IF;
        PERFORM jobkit.insert_foreign(in_id, in_type, in_key, in_sequence, in_slot, in_digest, in_trace, in_schema,
                                      in_submitted_at, in_envelope, in_notices, in_highest);
        PERFORM jobkit.tally(in_queued => 1);
        PERFORM jobkit.publish(in_id, '');
    ELSIF j.digest <> (CASE WHEN j.key IS NULL THEN in_keyless ELSE in_digest END) THEN
        RETURN;
    ELSIF j.state = 'dead' THEN
        IF name IS NOT NULL THEN
            SELECT id, expires INTO h FROM jobkit.holders_of(ARRAY[in_type], ARRAY[name]);
            IF h.expires <= jobkit.clock() THEN
                PERFORM jobkit.expire_jobs(ARRAY[h.id], in_most);
            ELSIF h.id IS NOT NULL THEN
                holder := h.id;
                RETURN;
            END IF;
        END IF;
        PERFORM jobkit.tally(in_purged => -(settled IS NOT NULL)::integer) FROM jobkit.jobs WHERE id = in_id;
        SELECT committed INTO done FROM jobkit.keys WHERE type = in_type AND key = j.key;
        IF j.sequence <= done OR (j.sequence IS NULL AND j.ordered) THEN
            j.sequence := jobkit.next_sequence(in_type, j.key);
        END IF;
        UPDATE jobkit.jobs
        SET state = 'queued', sequence = j.sequence, token = NULL, nonce = NULL, owner = NULL, opens = 0, failed = 0, failures = NULL,
            attempts = NULL, retry_at = NULL, told = NULL, silent = NULL, taken_over = NULL, progress = 0, message = '', started_at = NULL,
            finished_at = NULL, ended = NULL, settled = NULL, reason = NULL, due = NULL, ordered = NULL, priority = NULL, placed = NULL,
            envelope = in_envelope,
            unique_while = CASE unique_while WHEN 'begun' THEN 'queued' ELSE unique_while END
        WHERE id = in_id;
        PERFORM jobkit.tally(in_queued => 1, in_dead => -1);
        PERFORM jobkit.publish(in_id, '');
        PERFORM jobkit.take_place(in_id);
        IF j.member_of IS NOT NULL THEN
            PERFORM jobkit.count_members(ARRAY[in_id], ARRAY[j.was], ARRAY['unended'], in_most);
        END IF;
    END IF;
    DELETE FROM jobkit.dead WHERE number = in_number;
    requeued := true;
END $$;

-- Delete a dead letter; its job may be forgotten after its time. Answers whether there was one.
CREATE OR REPLACE FUNCTION jobkit.purge_dead(
    in_number bigint, in_id text, in_digest bytea, in_keyless bytea, in_most integer
) RETURNS boolean LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    was_saved boolean;
BEGIN
    DELETE FROM jobkit.dead WHERE number = in_number;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE jobkit.jobs SET settled = jobkit.clock()
    WHERE id = in_id AND state = 'dead' AND settled IS NULL
      AND digest = CASE WHEN key IS NULL THEN in_keyless ELSE in_digest END
    RETURNING saved INTO was_saved;
    IF FOUND THEN
        PERFORM jobkit.tally(in_purged => 1);
        IF was_saved THEN
            DELETE FROM jobkit.checkpoints WHERE id = in_id;
        END IF;
        PERFORM jobkit.count_members(ARRAY[in_id], ARRAY['dead'], ARRAY['purged'], in_most);
    END IF;
    RETURN true;
END $$;

-- Put jobs into the outbox again that nothing here brings to a worker, in order; return which. One that somebody has
-- locked is in good hands.
CREATE OR REPLACE FUNCTION jobkit.republish(in_ids text[]) RETURNS TABLE (id text) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    lost record;
BEGIN
    FOR lost IN
        SELECT j.id FROM jobkit.jobs j
        WHERE j.id = ANY (in_ids) AND j.ended IS NULL AND j.state NOT IN ('parked', 'scheduled')
          AND NOT EXISTS (SELECT FROM jobkit.outbox o WHERE o.position = j.entry)
          AND NOT EXISTS (SELECT FROM jobkit.inflight i WHERE i.id = j.id)
        ORDER BY j.number FOR UPDATE OF j SKIP LOCKED
    LOOP
        PERFORM jobkit.publish(lost.id, '');
        id := lost.id;
        RETURN NEXT;
    END LOOP;
END $$;

-- Move the first of the key's parked jobs to the outbox, in order; return how many.
CREATE OR REPLACE FUNCTION jobkit.resume_gap(in_type text, in_key text, in_most integer) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    PERFORM FROM jobkit.keys WHERE type = in_type AND key = in_key FOR UPDATE;
    -- Whatever the sequence, none is too high.
    RETURN jobkit.release_parked(in_type, in_key, 9223372036854775806, '', in_most);
END $$;

-- Give up the sequences below `in_before`, and release the parked jobs that can run then. Answers how many were
-- released, or NULL and the sequence expected where `in_before` does not lie above it.
CREATE OR REPLACE FUNCTION jobkit.skip_gap(
    in_type text, in_key text, in_before bigint, in_most integer, OUT released integer, OUT expected bigint
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    made boolean := jobkit.lock_key(in_type, in_key);
BEGIN
    SELECT committed + 1 INTO expected FROM jobkit.keys WHERE type = in_type AND key = in_key;
    IF in_before <= expected THEN
        IF made THEN
            DELETE FROM jobkit.keys WHERE type = in_type AND key = in_key;
        END IF;
        RETURN;
    END IF;
    PERFORM jobkit.tally(in_keys => made::integer);
    -- What is submitted from now on comes after what was given up.
    UPDATE jobkit.keys SET submitted = greatest(submitted, in_before - 1) WHERE type = in_type AND key = in_key;
    released := jobkit.give_up(in_type, in_key, expected, in_before - 1, in_most);
END $$;
