-- Sequences that are given up: by an operator, before their jobs came, or together with their jobs.
--
-- They are kept as ranges that neither overlap nor touch, so that whoever closes the gap before one finds its end at once.
-- One may lie ahead of what the key waits for; it is passed over when the key gets there.

-- Give up sequences of a key, together with those given up that they overlap or touch; return how many parked jobs that
-- released. Where the key waits for one of them it goes on behind. Where their turn was over, the next parked ones whose
-- turn is over, too, come out. The caller holds the lock of the key.
CREATE OR REPLACE FUNCTION jobkit.give_up(
    in_type text, in_key text, in_first bigint, in_last bigint, in_most integer
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    done bigint;
    joined record;
BEGIN
    WITH touching AS (
        DELETE FROM jobkit.skipped
        WHERE type = in_type AND key = in_key AND first - 1 <= in_last AND last >= in_first - 1
          AND first >= coalesce((SELECT first FROM jobkit.skipped WHERE type = in_type AND key = in_key
                                 AND first <= in_first ORDER BY first DESC LIMIT 1), 0)
        RETURNING first, last
    )
    SELECT least(in_first, min(first)) AS first, greatest(in_last, max(last)) AS last INTO joined FROM touching;
    INSERT INTO jobkit.skipped (type, key, first, last) VALUES (in_type, in_key, joined.first, joined.last);
    SELECT committed INTO done FROM jobkit.keys WHERE type = in_type AND key = in_key;
    IF joined.first - 1 > done THEN
        RETURN 0;
    END IF;
    IF joined.last > done THEN
        done := joined.last;
        UPDATE jobkit.keys SET committed = done, touched = jobkit.clock() WHERE type = in_type AND key = in_key;
    END IF;
    IF EXISTS (SELECT FROM jobkit.parked WHERE type = in_type AND key = in_key) THEN
        RETURN jobkit.release_parked(in_type, in_key, done + 1, '', in_most);
    END IF;
    RETURN 0;
END $$;
