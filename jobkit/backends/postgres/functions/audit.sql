-- What people have changed by hand.

-- Note an action, forget those that are more than `in_kept` ago, and return it.
CREATE OR REPLACE FUNCTION jobkit.note_action(
    in_by text, in_what text, in_subject text, in_detail text, in_kept integer
) RETURNS SETOF jobkit.audit
LANGUAGE plpgsql AS $$
DECLARE
    noted jobkit.audit;
BEGIN
    INSERT INTO jobkit.audit (at, by_whom, what, subject, detail)
    VALUES (jobkit.clock(), in_by, in_what, in_subject, in_detail)
    RETURNING * INTO noted;
    DELETE FROM jobkit.audit WHERE number <= noted.number - in_kept;
    RETURN NEXT noted;
END
$$;
