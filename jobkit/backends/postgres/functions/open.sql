-- Opening jobs: register each fence as its key's mark, and tell what to do with the job.
--
-- The order of the questions matters. That a job has ended is told to anybody. All else is told, and written, only to
-- who holds a fence that is not lower than the mark.

-- Will sequence `in_expected` of the key not come by itself?
CREATE OR REPLACE FUNCTION jobkit.is_blocked(in_type text, in_key text, in_expected bigint) RETURNS boolean
LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM jobkit.parked WHERE type = in_type AND key = in_key)
        OR EXISTS (SELECT FROM jobkit.dead WHERE type = in_type AND key = in_key AND sequence = in_expected)
        OR EXISTS (SELECT FROM jobkit.jobs WHERE type = in_type AND key = in_key AND sequence = in_expected
                   AND ended IS NOT NULL AND result IS NULL AND ended_by IS NULL)
$$;

-- Open jobs, of one key at most one. The answers are 'opened' (with how often, the failures, and how many entries the
-- key's log has), 'duplicate', 'cancelled', 'expired', 'scheduled' (it is not due), 'moved' (its priority is another one),
-- 'forgotten' (a duplicate whose id is no longer known), 'gap' and 'skipped' (`number` is the sequence expected), 'early'
-- (`due_in` seconds), 'stale' (`number` is the mark), 'superseded' (`number` is the sequence), 'conflict', and 'unknown':
-- the job, or its key, is not known here, so that its envelope is needed, and its digest without a key. `in_priorities` is
-- empty where all messages are of normal priority. Of the starts whose end nobody reported `in_kept` are kept apart;
-- `silent` is how many there are. Of the take-overs of a job `in_take_overs` are kept. `in_notices` is what tells of the jobs'
-- ends, empty where nothing does.
CREATE OR REPLACE FUNCTION jobkit.open_jobs(
    in_ids text[], in_types text[], in_keys text[], in_sequences bigint[], in_slots bigint[], in_digests bytea[],
    in_keyless bytea[],
    in_traces text[], in_schemas integer[], in_submitted_at double precision[],
    in_envelopes bytea[], in_tokens bigint[], in_nonces text[], in_owners text[], in_highest bigint, in_kept integer,
    in_most integer, in_priorities text[], in_take_overs integer, in_notices text[]
) RETURNS TABLE (place integer, answer text, number bigint, opens integer, failures text[], blocked boolean,
                 log_length bigint, silent integer, due_in double precision)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    -- The job as it is asked for, its key's row, and its own row; either of the latter may be missing.
    r record;
    k record;
    j record;
    has_key boolean;
    has_job boolean;
    same boolean;
    mark bigint;
    done bigint;
    turn bigint;
    queued integer := 0;
    running integer := 0;
    parked integer := 0;
    new_keys integer := 0;
    expired text[];
BEGIN
    FOR r IN
        SELECT * FROM unnest(
            in_ids, in_types, in_keys, in_sequences, in_slots, in_digests, in_keyless, in_traces, in_schemas,
            in_submitted_at, in_envelopes, in_tokens, in_nonces, in_owners, in_notices
        ) WITH ORDINALITY AS g (
            id, type, key, sequence, slot, digest, keyless, trace, schema, submitted_at, envelope, token, nonce, owner,
            notices, place
        )
        ORDER BY g.type COLLATE "C", g.key COLLATE "C"
    LOOP
        place := r.place;
        answer := NULL; number := NULL; opens := NULL; failures := NULL; blocked := NULL; silent := 0; due_in := NULL;
        SELECT token, nonce, committed, forgotten, log_length INTO k FROM jobkit.keys
        WHERE type = r.type AND key = r.key FOR UPDATE;
        has_key := FOUND;
        SELECT digest, key, sequence, state, token, nonce, owner, opens, failures, retry_at, told, silent AS silent_starts, expires,
               priority
        INTO j FROM jobkit.jobs WHERE id = r.id;
        has_job := FOUND;
        IF has_job AND j.key IS NULL AND r.envelope IS NULL THEN
            answer := 'unknown';
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- One that was submitted without a key was digested without the one that was derived since.
        same := NOT has_job OR j.digest = CASE WHEN j.key IS NULL THEN r.keyless ELSE r.digest END;
        IF has_job AND same AND j.state IN ('committed', 'dead', 'cancelled', 'expired', 'scheduled') THEN
            answer := CASE WHEN j.state IN ('cancelled', 'expired', 'scheduled') THEN j.state ELSE 'duplicate' END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF same AND j.expires <= jobkit.clock() THEN
            -- Ended below, when the locks of all keys are held.
            expired := expired || r.id;
            answer := 'expired';
            RETURN NEXT;
            CONTINUE;
        END IF;

        IF same AND j.priority <> coalesce(in_priorities[r.place], 'normal') THEN
            answer := 'moved';
            RETURN NEXT;
            CONTINUE;
        END IF;

        -- The mark. A key that has none refuses what the forgotten ones would have refused.
        IF has_key THEN
            mark := k.token;
            done := k.committed;
            log_length := k.log_length;
        ELSE
            SELECT floor INTO mark FROM jobkit.retention;
            done := 0;
            log_length := 0;
        END IF;
        IF NOT has_key OR r.token <> k.token OR r.nonce <> k.nonce THEN
            IF r.token <= mark THEN
                answer := 'stale';
                number := mark;
                RETURN NEXT;
                CONTINUE;
            END IF;
            IF has_key THEN
                UPDATE jobkit.keys SET token = r.token, nonce = r.nonce, owner = r.owner, touched = jobkit.clock()
                WHERE type = r.type AND key = r.key;
            ELSE
                INSERT INTO jobkit.keys (type, key, token, nonce, owner, touched)
                VALUES (r.type, r.key, r.token, r.nonce, r.owner, jobkit.clock())
                ON CONFLICT DO NOTHING;
                IF NOT FOUND THEN
                    PERFORM jobkit.overtaken('the key');
                END IF;
                new_keys := new_keys + 1;
            END IF;
        END IF;
        IF NOT same THEN
            answer := 'conflict';
            RETURN NEXT;
            CONTINUE;
        END IF;

        -- The turn.
        turn := CASE WHEN has_job THEN j.sequence ELSE r.sequence END;
        IF NOT has_job AND turn > done AND turn <= in_highest AND jobkit.is_taken(r.type, r.key, turn) THEN
            answer := 'superseded';
            number := turn;
        ELSIF turn > done + 1 THEN
            answer := 'gap';
            number := done + 1;
            blocked := jobkit.is_blocked(r.type, r.key, done + 1);
        ELSIF turn <= done THEN
            IF jobkit.is_skipped(r.type, r.key, turn) THEN
                answer := 'skipped';
                number := done + 1;
            ELSIF NOT has_job AND has_key AND turn <= k.forgotten THEN
                -- It ended so long ago that retention forgot its id; the sequence still tells.
                answer := 'forgotten';
            ELSE
                -- The sequence was committed by a job with another id: no order is left for this one, and a person
                -- must decide.
                answer := 'superseded';
                number := turn;
            END IF;
        ELSIF has_job AND j.retry_at > jobkit.clock() THEN
            answer := 'early';
            due_in := j.retry_at - jobkit.clock();
        ELSE
            answer := 'opened';
        END IF;

        IF r.envelope IS NULL AND NOT has_job AND answer IN ('opened', 'gap', 'skipped') THEN
            answer := 'unknown';
        ELSIF answer = 'opened' AND has_job THEN
            opens := j.opens + 1;
            failures := j.failures;
            IF j.state = 'running' AND j.token = r.token AND j.nonce = r.nonce THEN
                opens := j.opens;
            ELSE
                -- Who comes back to a job has evidently lived.
                IF j.state = 'running' AND j.owner <> r.owner AND j.told IS DISTINCT FROM j.nonce THEN
                    j.silent_starts := (j.silent_starts || j.nonce)[greatest(1, cardinality(j.silent_starts) + 2 - in_kept):];
                END IF;
                IF j.state = 'running' AND j.owner <> r.owner THEN
                    UPDATE jobkit.jobs
                    SET taken_over = (taken_over || json_build_array(j.owner, j.token, jobkit.clock())::text)
                        [greatest(1, coalesce(cardinality(taken_over), 0) + 2 - in_take_overs):]
                    WHERE id = r.id AND ended IS NULL;
                END IF;
                UPDATE jobkit.jobs
                SET state = 'running', token = r.token, nonce = r.nonce, owner = r.owner, opens = opens + 1,
                    started_at = coalesce(started_at, jobkit.clock()), retry_at = NULL, told = NULL, silent = j.silent_starts,
                    expires = NULL, unique_while = CASE unique_while WHEN 'queued' THEN 'begun' ELSE unique_while END
                WHERE id = r.id AND ended IS NULL;
                IF NOT FOUND THEN
                    -- Cancelled since it was looked at: a key that has no row has no lock either.
                    PERFORM jobkit.overtaken('the end of the job');
                END IF;
                IF j.key IS NULL THEN
                    UPDATE jobkit.jobs SET key = r.key, slot = r.slot, digest = r.digest, envelope = r.envelope
                    WHERE id = r.id;
                END IF;
                queued := queued - (j.state = 'queued')::integer;
                parked := parked - (j.state = 'parked')::integer;
                running := running + (j.state <> 'running')::integer;
            END IF;
            silent := coalesce(cardinality(j.silent_starts), 0);
        ELSIF NOT has_job AND answer IN ('opened', 'gap', 'skipped') THEN
            -- A foreign publisher's: it becomes known now.
            PERFORM jobkit.insert_foreign(r.id, r.type, r.key, r.sequence, r.slot, r.digest, r.trace, r.schema,
                                          r.submitted_at, r.envelope, r.notices, in_highest);
            IF answer = 'opened' THEN
                UPDATE jobkit.jobs
                SET state = 'running', token = r.token, nonce = r.nonce, owner = r.owner, opens = 1,
                    started_at = jobkit.clock()
                WHERE id = r.id;
                opens := 1;
                running := running + 1;
            ELSE
                queued := queued + 1;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM jobkit.tally(in_queued => queued, in_running => running, in_parked => parked, in_keys => new_keys);
    IF expired IS NOT NULL THEN
        PERFORM jobkit.expire_jobs(expired, in_most);
    END IF;
END $$;
