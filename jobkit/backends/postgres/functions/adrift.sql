-- Jobs that nothing in the store brings to a worker.

-- A page of them: of the type's next `in_limit` jobs each is told, with an envelope where it is one of the partition's that
-- is adrift. Read from the index alone, for the jobs of other partitions, and each of the rest by its own indexes: so a
-- page costs the same however many jobs there are anywhere.
CREATE OR REPLACE FUNCTION jobkit.adrift(
    in_type text, in_partitions bigint, in_index bigint, in_after bigint, in_upto bigint, in_limit integer
) RETURNS TABLE (number bigint, sequence bigint, envelope bytea, state text, owner text, delayed boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off SET enable_sort = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT l.number, j.sequence, j.envelope, j.state, j.owner, coalesce(j.delayed_until > jobkit.clock(), false)
    FROM (
        -- In this order there is one index only, which has no job that has ended or is scheduled.
        SELECT w.type, w.number, w.slot FROM jobkit.jobs w
        WHERE w.ended IS NULL AND w.due IS NULL AND (w.type, w.number) > (in_type, in_after)
        ORDER BY w.type, w.number LIMIT in_limit
    ) l
    LEFT JOIN jobkit.jobs j ON j.number = l.number AND l.slot % in_partitions = in_index AND j.state <> 'parked'
        AND NOT EXISTS (SELECT FROM jobkit.outbox o WHERE o.position = j.entry)
        AND NOT EXISTS (SELECT FROM jobkit.inflight i WHERE i.id = j.id)
    WHERE l.type = in_type AND l.number <= in_upto
    ORDER BY l.number;
END $$;
