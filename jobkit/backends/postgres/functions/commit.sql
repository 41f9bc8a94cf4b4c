-- Committing jobs: verify the mark, the id and the sequence, and write every effect, in one transaction.

-- Commit jobs, of one key at most one. Their effects are in flat arrays, whose `in_..._of` tell the place (from 1) of
-- the job that each belongs to. First comes one row for each job: 'committed', 'again' (it was committed before under
-- the same fence), 'duplicate', 'cancelled', 'expired', or 'refused' with the mark. Rows with the answer 'released' follow: what its commit
-- put into the outbox and nobody has confirmed yet.
--
-- Of the follow-ups some have a unique name, or none has one and the arrays of names are empty; so it is with groups, tenants
-- and what is to tell of their ends.
--
-- Raises JK001 where the id of a follow-up is known with another body, or JK002 as `submit_grouped_jobs` does: then nothing
-- of the whole call is written.
CREATE OR REPLACE FUNCTION jobkit.commit_jobs(
    in_ids text[], in_types text[], in_keys text[], in_tokens bigint[], in_nonces text[], in_results bytea[],
    record_of integer[], record_names text[], record_values bytea[],
    entry_of integer[], entry_kinds text[], entry_data bytea[],
    manifest_of integer[], manifest_blobs text[],
    follow_of integer[], follow_ids text[], follow_types text[], follow_keys text[], follow_ordered boolean[],
    follow_slots bigint[], follow_digests bytea[], follow_traces text[], follow_schemas integer[],
    follow_submitted_at double precision[], follow_envelopes bytea[], follow_ats double precision[],
    follow_afters double precision[], follow_expire_ats double precision[], follow_expire_afters double precision[],
    follow_names text[], follow_whiles text[], follow_replacing boolean[], in_most integer, follow_closes text[],
    follow_groups text[], follow_lines text[], follow_places integer[],
    follow_notices text[]
) RETURNS TABLE (place integer, answer text, mark bigint, "position" bigint, sequence bigint, envelope bytea)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    r record;
    k record;
    j record;
    has_key boolean;
    has_job boolean;
    ours boolean;
    now double precision := jobkit.clock();
    -- By place: whether the job is committed here, the length of its key's log before, whether it may have released
    -- something, and its sequence.
    written boolean[] := array_fill(false, ARRAY[cardinality(in_ids)]);
    log_lengths bigint[] := array_fill(0::bigint, ARRAY[cardinality(in_ids)]);
    sequences bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(in_ids)]);
    -- What the jobs may still have in the outbox.
    entries bigint[] := '{}';
    gone integer := 0;
    turn bigint;
    sources text[] := array_fill(NULL::text, ARRAY[cardinality(in_ids)]);
    running integer := 0;
    queued integer := 0;
    parked integer := 0;
    committed integer := 0;
    conflict text;
    submitted record;
    -- Members of groups that end here, and groups that take the places of some.
    members text[];
    joined text[] := '{}';
    -- By place: the line of whose places the job gives one up.
    lines text[];
BEGIN
    IF cardinality(follow_names) > 0 THEN
        PERFORM jobkit.lock_names(follow_types, follow_names);
    END IF;
    IF cardinality(follow_of) > 0 THEN
        -- Follow-ups may have keys of their own, and so may those that they replace; together with the jobs' they are
        -- locked in the one order.
        FOR r IN
            SELECT g.type COLLATE "C" AS type, g.key COLLATE "C" AS key FROM unnest(in_types, in_keys) AS g (type, key)
            UNION
            SELECT f.type COLLATE "C", f.key COLLATE "C"
            FROM unnest(follow_types, follow_keys, follow_ordered) AS f (type, key, ordered) WHERE f.ordered
            UNION
            SELECT h.type, h.key FROM jobkit.holders_of(follow_types, follow_names) h
            WHERE cardinality(follow_names) > 0 AND h.key IS NOT NULL
            ORDER BY 1, 2
        LOOP
            PERFORM FROM jobkit.keys WHERE type = r.type AND key = r.key FOR UPDATE;
        END LOOP;
    END IF;
    FOR r IN
        SELECT * FROM unnest(in_ids, in_types, in_keys, in_tokens, in_nonces, in_results) WITH ORDINALITY
            AS g (id, type, key, token, nonce, result, place)
        ORDER BY g.type COLLATE "C", g.key COLLATE "C"
    LOOP
        place := r.place;
        mark := NULL;
        SELECT token, nonce, committed, log_length INTO k FROM jobkit.keys
        WHERE type = r.type AND key = r.key FOR UPDATE;
        has_key := FOUND;
        SELECT state, sequence, entry, saved, member_of, line, token = r.token AND nonce = r.nonce AS opened INTO j
        FROM jobkit.jobs WHERE id = r.id;
        has_job := FOUND;
        ours := has_job AND coalesce(j.opened, false);
        IF has_job AND ours AND j.state = 'committed' THEN
            -- The answer was lost and is asked for again; that the mark may have moved on since changes nothing.
            answer := 'again';
            sources[place] := r.id;
        ELSIF has_job AND j.state IN ('committed', 'dead', 'cancelled', 'expired') THEN
            answer := CASE WHEN j.state IN ('cancelled', 'expired') THEN j.state ELSE 'duplicate' END;
        ELSIF NOT has_key OR k.token <> r.token OR k.nonce <> r.nonce OR NOT ours
              OR j.sequence <> k.committed + 1 THEN
            -- Under the mark a job that was opened stays the next one, unless an operator skipped its sequence.
            answer := 'refused';
            IF has_key THEN
                mark := k.token;
            ELSE
                SELECT floor INTO mark FROM jobkit.retention;
            END IF;
        ELSE
            answer := 'committed';
            written[place] := true;
            log_lengths[place] := k.log_length;
            sequences[place] := j.sequence;
            UPDATE jobkit.jobs
            SET state = 'committed', result = r.result, progress = 1, finished_at = now, ended = now, settled = now,
                envelope = NULL
            WHERE id = r.id AND ended IS NULL;
            IF NOT FOUND THEN
                PERFORM jobkit.overtaken('the end of the job');
            END IF;
            DELETE FROM jobkit.inflight WHERE id = r.id;
            IF j.sequence IS NOT NULL THEN
                DELETE FROM jobkit.parked WHERE id = r.id;
            END IF;
            IF j.saved THEN
                DELETE FROM jobkit.checkpoints WHERE id = r.id;
            END IF;
            entries := entries || j.entry;
            UPDATE jobkit.keys
            SET committed = coalesce(
                    -- What was given up behind it is passed over.
                    (SELECT s.last FROM jobkit.skipped s
                     WHERE s.type = r.type AND s.key = r.key AND s.first = j.sequence + 1),
                    j.sequence, committed),
                touched = now
            WHERE type = r.type AND key = r.key RETURNING committed INTO turn;
            committed := committed + 1;
            IF j.line IS NOT NULL THEN
                lines[place] := j.line;
            END IF;
            IF j.member_of IS NOT NULL THEN
                members := members || r.id;
            END IF;
            running := running - (j.state = 'running')::integer;
            queued := queued - (j.state = 'queued')::integer;
            parked := parked - (j.state = 'parked')::integer;
            IF j.sequence IS NOT NULL
               AND EXISTS (SELECT FROM jobkit.parked p WHERE p.type = r.type AND p.key = r.key)
               AND jobkit.release_parked(r.type, r.key, turn + 1, r.id, in_most) > 0 THEN
                sources[place] := r.id;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF cardinality(entries) > 0 THEN
        -- In one order, as in `published`: both may be about the same entries.
        PERFORM FROM jobkit.outbox o WHERE o.position = ANY (entries) ORDER BY o.position FOR UPDATE;
        DELETE FROM jobkit.outbox o WHERE o.position = ANY (entries);
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    PERFORM jobkit.tally(in_queued => queued, in_running => running, in_parked => parked, in_committed => committed,
                         in_outbox => -gone);

    IF cardinality(record_of) > 0 THEN
        INSERT INTO jobkit.records (type, key, name, value)
        SELECT in_types[e.of], in_keys[e.of], e.name, e.value
        FROM unnest(record_of, record_names, record_values) AS e (of, name, value) WHERE written[e.of]
        ON CONFLICT (type, key, name) DO UPDATE SET value = excluded.value;
    END IF;
    IF cardinality(manifest_of) > 0 THEN
        INSERT INTO jobkit.manifests (type, key, blobs)
        SELECT in_types[e.of], in_keys[e.of], e.blobs
        FROM unnest(manifest_of, manifest_blobs) AS e (of, blobs) WHERE written[e.of]
        ON CONFLICT (type, key) DO UPDATE SET blobs = excluded.blobs;
    END IF;
    IF cardinality(entry_of) > 0 THEN
        INSERT INTO jobkit.log (type, key, position, kind, data, job_id, sequence, token, at)
        SELECT in_types[e.of], in_keys[e.of], log_lengths[e.of] + row_number() OVER (PARTITION BY e.of ORDER BY e.n),
               e.kind, e.data, in_ids[e.of], sequences[e.of], in_tokens[e.of], now
        FROM unnest(entry_of, entry_kinds, entry_data) WITH ORDINALITY AS e (of, kind, data, n) WHERE written[e.of];
        FOR r IN SELECT e.of, count(*) AS entries FROM unnest(entry_of) AS e (of) WHERE written[e.of] GROUP BY e.of LOOP
            UPDATE jobkit.keys SET log_length = log_length + r.entries
            WHERE type = in_types[r.of] AND key = in_keys[r.of];
        END LOOP;
    END IF;
    IF cardinality(follow_of) > 0 THEN
        SELECT array_agg(g.id ORDER BY g.n) AS ids, array_agg(g.type ORDER BY g.n) AS types,
               array_agg(g.key ORDER BY g.n) AS keys, array_agg(g.ordered ORDER BY g.n) AS ordered,
               array_agg(g.slot ORDER BY g.n) AS slots,
               array_agg(g.digest ORDER BY g.n) AS digests, array_agg(g.trace ORDER BY g.n) AS traces,
               array_agg(g.schema ORDER BY g.n) AS schemas, array_agg(g.submitted_at ORDER BY g.n) AS submitted_at,
               array_agg(g.envelope ORDER BY g.n) AS envelopes, array_agg(g.at ORDER BY g.n) AS ats,
               array_agg(g.after ORDER BY g.n) AS afters,
               array_agg(g.expire_at ORDER BY g.n) AS expire_ats, array_agg(g.expire_after ORDER BY g.n) AS expire_afters,
               array_agg(in_ids[g.of] ORDER BY g.n) AS sources, array_agg(g.name ORDER BY g.n) AS names,
               array_agg(g.while ORDER BY g.n) AS whiles, array_agg(g.replacing ORDER BY g.n) AS replacing,
               array_agg(g.closes ORDER BY g.n) AS closes, array_agg(g.grp ORDER BY g.n) AS groups
        INTO r
        FROM unnest(
            follow_of, follow_ids, follow_types, follow_keys, follow_ordered, follow_slots, follow_digests,
            follow_traces, follow_schemas, follow_submitted_at, follow_envelopes, follow_ats, follow_afters,
            follow_expire_ats, follow_expire_afters, follow_names, follow_whiles, follow_replacing, follow_closes,
            follow_groups
        ) WITH ORDINALITY AS g (
            of, id, type, key, ordered, slot, digest, trace, schema, submitted_at, envelope, at, after,
            expire_at, expire_after, name, while, replacing, closes, grp, n
        )
        WHERE written[g.of];
        IF cardinality(follow_groups) > 0 THEN
            FOR submitted IN
                SELECT s.place, s.answer, s.other FROM jobkit.submit_grouped_jobs(
                    coalesce(r.ids, '{}'), r.types, r.keys, r.ordered, r.slots, r.digests, r.traces, r.schemas, r.submitted_at,
                    r.envelopes, r.ats, r.afters, r.expire_ats, r.expire_afters, r.sources,
                    CASE WHEN cardinality(follow_names) > 0 THEN r.names ELSE '{}' END, r.whiles, r.replacing, in_most,
                    r.closes, r.groups
                ) s
                WHERE s.answer IN ('conflict', 'joined')
            LOOP
                IF submitted.answer = 'joined' THEN
                    joined := joined || submitted.other;
                ELSE
                    conflict := r.ids[submitted.place];
                END IF;
            END LOOP;
        ELSIF cardinality(follow_names) > 0 THEN
            SELECT r.ids[s.place] INTO conflict
            FROM jobkit.submit_named_jobs(
                coalesce(r.ids, '{}'), r.types, r.keys, r.ordered, r.slots, r.digests, r.traces, r.schemas, r.submitted_at,
                r.envelopes, r.ats, r.afters, r.expire_ats, r.expire_afters, r.sources, r.names, r.whiles, r.replacing,
                in_most
            ) s
            WHERE s.answer = 'conflict';
        ELSE
            SELECT r.ids[s.place] INTO conflict
            FROM jobkit.submit_jobs(
                coalesce(r.ids, '{}'), r.types, r.keys, r.ordered, r.slots, r.digests, r.traces, r.schemas, r.submitted_at,
                r.envelopes, r.ats, r.afters, r.expire_ats, r.expire_afters, r.sources
            ) s
            WHERE s.answer = 'conflict';
        END IF;
        IF conflict IS NOT NULL THEN
            RAISE EXCEPTION '%', conflict USING ERRCODE = 'JK001';
        END IF;
        IF cardinality(follow_lines) > 0 THEN
            PERFORM jobkit.enter_line(f.id, f.line, f.places)
            FROM unnest(follow_of, follow_ids, follow_lines, follow_places) WITH ORDINALITY AS f (of, id, line, places, n)
            WHERE written[f.of] AND f.line IS NOT NULL ORDER BY f.n;
        END IF;
        IF cardinality(follow_notices) > 0 THEN
            PERFORM jobkit.keep_notices(follow_ids, follow_envelopes, follow_notices);
        END IF;
        FOR r IN SELECT DISTINCT f.of FROM unnest(follow_of) AS f (of) WHERE written[f.of] LOOP
            sources[r.of] := in_ids[r.of];
        END LOOP;
    END IF;
    IF members IS NOT NULL THEN
        FOR r IN
            SELECT c.source FROM jobkit.count_members(
                members || joined,
                array_fill('unended'::text, ARRAY[cardinality(members)]) || array_fill(NULL::text, ARRAY[cardinality(joined)]),
                array_fill('committed'::text, ARRAY[cardinality(members)])
                || array_fill('unended'::text, ARRAY[cardinality(joined)]), in_most) c
        LOOP
            sources[array_position(in_ids, r.source)] := r.source;
        END LOOP;
    END IF;
    IF lines IS NOT NULL THEN
        FOR place IN SELECT s.place FROM generate_subscripts(lines, 1) AS s (place) WHERE lines[s.place] IS NOT NULL LOOP
            PERFORM jobkit.give_places(in_types[place], lines[place], in_ids[place]);
            sources[place] := in_ids[place];
        END LOOP;
    END IF;
    FOR r IN SELECT s.source, s.place FROM unnest(sources) WITH ORDINALITY AS s (source, place)
             WHERE s.source IS NOT NULL LOOP
        RETURN QUERY
        SELECT r.place::integer, 'released'::text, NULL::bigint, o.position, w.sequence, w.envelope
        FROM jobkit.outbox o JOIN jobkit.jobs w ON w.id = o.id WHERE o.source = r.source ORDER BY o.position;
    END LOOP;
END $$;
