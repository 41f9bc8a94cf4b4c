-- What a person has paused.

-- Pause a scope, unless it is; return the pause that is there now, or none where `in_most` are there already.
CREATE OR REPLACE FUNCTION jobkit.pause(
    in_type text, in_number integer, in_key text, in_by text, in_reason text, in_most integer
) RETURNS SETOF jobkit.pauses
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM jobkit.pauses) < in_most THEN
        INSERT INTO jobkit.pauses (type, number, key, by_whom, reason, since)
        VALUES (in_type, in_number, in_key, in_by, in_reason, jobkit.clock())
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY SELECT * FROM jobkit.pauses p WHERE p.type = in_type AND p.number = in_number AND p.key = in_key;
END
$$;
