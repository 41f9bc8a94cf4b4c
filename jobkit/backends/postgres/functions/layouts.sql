-- How many partitions each type has.

-- Replace a layout if it is `in_before`, NULL where there is to be none; tell whether it was.
CREATE OR REPLACE FUNCTION jobkit.set_layout(in_type text, in_before text, in_partitions integer, in_after text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF in_before IS NULL THEN
        INSERT INTO jobkit.layouts (type, partitions, layout) VALUES (in_type, in_partitions, in_after)
        ON CONFLICT DO NOTHING;
    ELSE
        UPDATE jobkit.layouts SET partitions = in_partitions, layout = in_after
        WHERE type = in_type AND layout = in_before;
    END IF;
    RETURN FOUND;
END $$;
