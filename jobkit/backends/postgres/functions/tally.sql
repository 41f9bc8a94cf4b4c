-- Counting, as the table `tallies` tells.

CREATE OR REPLACE FUNCTION jobkit.tally(
    in_queued bigint DEFAULT 0, in_running bigint DEFAULT 0, in_parked bigint DEFAULT 0, in_committed bigint DEFAULT 0,
    in_dead bigint DEFAULT 0, in_outbox bigint DEFAULT 0, in_keys bigint DEFAULT 0, in_purged bigint DEFAULT 0,
    in_shelved bigint DEFAULT 0, in_set_aside bigint DEFAULT 0, in_letters bigint DEFAULT 0,
    in_cancelled bigint DEFAULT 0, in_scheduled bigint DEFAULT 0, in_expired bigint DEFAULT 0
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF in_queued = 0 AND in_running = 0 AND in_parked = 0 AND in_committed = 0 AND in_dead = 0 AND in_outbox = 0
       AND in_keys = 0 AND in_purged = 0 AND in_shelved = 0 AND in_set_aside = 0 AND in_letters = 0
       AND in_cancelled = 0 AND in_scheduled = 0 AND in_expired = 0 THEN
        RETURN;
    END IF;
    INSERT INTO jobkit.tallies (scheduled, queued, running, parked, committed, dead, purged, cancelled, expired, outbox, keys,
                                shelved, set_aside, letters)
    VALUES (in_scheduled, in_queued, in_running, in_parked, in_committed, in_dead, in_purged, in_cancelled, in_expired, in_outbox,
            in_keys, in_shelved, in_set_aside, in_letters);
END $$;

-- Rows of tables in which few jobs ever are count themselves as they come and go.
CREATE OR REPLACE FUNCTION jobkit.tally_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step bigint := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'inflight' THEN PERFORM jobkit.tally(in_shelved => step);
        WHEN 'parked' THEN PERFORM jobkit.tally(in_set_aside => step);
        WHEN 'dead' THEN PERFORM jobkit.tally(in_letters => step);
    END CASE;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER tally_row AFTER INSERT OR DELETE ON jobkit.inflight
    FOR EACH ROW EXECUTE FUNCTION jobkit.tally_row();
CREATE OR REPLACE TRIGGER tally_row AFTER INSERT OR DELETE ON jobkit.parked
    FOR EACH ROW EXECUTE FUNCTION jobkit.tally_row();
CREATE OR REPLACE TRIGGER tally_row AFTER INSERT OR DELETE ON jobkit.dead
    FOR EACH ROW EXECUTE FUNCTION jobkit.tally_row();

-- Count the job's state in `was` down and in `becomes` up.
CREATE OR REPLACE FUNCTION jobkit.tally_state(was text, becomes text) RETURNS void LANGUAGE sql AS $$
    SELECT jobkit.tally(
        in_scheduled => (becomes = 'scheduled')::integer - (was = 'scheduled')::integer,
        in_queued => (becomes = 'queued')::integer - (was = 'queued')::integer,
        in_running => (becomes = 'running')::integer - (was = 'running')::integer,
        in_parked => (becomes = 'parked')::integer - (was = 'parked')::integer,
        in_committed => (becomes = 'committed')::integer - (was = 'committed')::integer,
        in_dead => (becomes = 'dead')::integer - (was = 'dead')::integer)
$$;

-- Make one of all tally rows that nobody holds, where there are more than a few.
CREATE OR REPLACE FUNCTION jobkit.fold_tallies() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM jobkit.tallies) <= 64 THEN
        RETURN;
    END IF;
    WITH free AS (
        SELECT ctid FROM jobkit.tallies FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM jobkit.tallies t USING free WHERE t.ctid = free.ctid RETURNING t.*
    )
    INSERT INTO jobkit.tallies (scheduled, queued, running, parked, committed, dead, purged, cancelled, expired, outbox, keys,
                                shelved, set_aside, letters)
    SELECT sum(scheduled), sum(queued), sum(running), sum(parked), sum(committed), sum(dead), sum(purged), sum(cancelled),
           sum(expired), sum(outbox), sum(keys), sum(shelved), sum(set_aside), sum(letters)
    FROM taken
    HAVING count(*) > 0;
END $$;
