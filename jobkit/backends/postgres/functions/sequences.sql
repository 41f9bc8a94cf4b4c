-- Whose a sequence of a key is: nobody's yet, some job's, or given up.

-- Was the sequence given up?
CREATE OR REPLACE FUNCTION jobkit.is_skipped(in_type text, in_key text, in_sequence bigint) RETURNS boolean
LANGUAGE sql AS $$
    SELECT coalesce((SELECT last >= in_sequence FROM jobkit.skipped WHERE type = in_type AND key = in_key
                     AND first <= in_sequence ORDER BY first DESC LIMIT 1), false)
$$;

-- Is a sequence that is to come another job's than one that is not known? Cancelled jobs have given theirs up.
CREATE OR REPLACE FUNCTION jobkit.is_taken(in_type text, in_key text, in_sequence bigint) RETURNS boolean
LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM jobkit.jobs WHERE type = in_type AND key = in_key AND sequence = in_sequence
                   AND ended IS NULL)
        OR EXISTS (SELECT FROM jobkit.jobs WHERE type = in_type AND key = in_key AND sequence = in_sequence
                   AND ended IS NOT NULL AND result IS NULL AND ended_by IS NULL)
        OR jobkit.is_skipped(in_type, in_key, in_sequence)
$$;

-- Return the next sequence of a key that has a row, which the caller has locked.
CREATE OR REPLACE FUNCTION jobkit.next_sequence(in_type text, in_key text) RETURNS bigint LANGUAGE sql AS $$
    UPDATE jobkit.keys SET submitted = submitted + 1, touched = jobkit.clock()
    WHERE type = in_type AND key = in_key RETURNING submitted
$$;
