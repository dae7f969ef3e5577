-- Further rows of a commit that ends the job or moves its money.
-- $22 how many jobs of the key end, $23 what is held more or less, $24 what is captured, $25 when the period of each
-- reset begins, $26 the job's gain in activity.
, standing AS (
    UPDATE key_standings SET
        in_flight = greatest(in_flight - $22, 0),
        held = held + $23,
        captured = CASE
            WHEN $24 = 0 OR coalesce(($25::jsonb ->> limit_reset)::bigint, 0) < counted_from THEN captured
            WHEN coalesce(($25::jsonb ->> limit_reset)::bigint, 0) = counted_from THEN captured + $24
            ELSE $24 END,
        counted_from = CASE
            WHEN $24 = 0 THEN counted_from
            ELSE greatest(counted_from, coalesce(($25::jsonb ->> limit_reset)::bigint, 0)) END
    FROM job WHERE key_standings.key = job.key AND key_standings.stripe = $7
    RETURNING 1),
-- A provider may bill for a job whose money had ended: the row keeps its day and takes the cost in.
gained AS (
    INSERT INTO activity (job, at, workspace, key, model, provider, status, reason, outputs, output_ms, user_cost,
        provider_cost)
    SELECT job.id, $5, job.workspace, job.key, job.model, coalesce(it.provider, job.provider), it.status, it.reason,
        it.outputs, it.output_ms, it.user_cost, it.provider_cost
    FROM job, jsonb_to_recordset($26::jsonb) AS it (
        provider text, status text, reason text, outputs bigint, output_ms bigint, user_cost bigint,
        provider_cost bigint)
    ON CONFLICT (job) DO UPDATE SET
        user_cost = activity.user_cost + excluded.user_cost,
        provider_cost = activity.provider_cost + excluded.provider_cost)
