-- Further rows of a commit that ends the job or moves its money.
-- $19 how many jobs of the key end, $20 what is held more or less, $21 what is captured, $22 when the period of each
-- reset begins, $23 the job's gain in activity.
, standing AS (
    UPDATE key_standings SET
        in_flight = greatest(in_flight - $19, 0),
        held = held + $20,
        captured = CASE
            WHEN $21 = 0 OR coalesce(($22::jsonb ->> limit_reset)::bigint, 0) < counted_from THEN captured
            WHEN coalesce(($22::jsonb ->> limit_reset)::bigint, 0) = counted_from THEN captured + $21
            ELSE $21 END,
        counted_from = CASE
            WHEN $21 = 0 THEN counted_from
            ELSE greatest(counted_from, coalesce(($22::jsonb ->> limit_reset)::bigint, 0)) END
    FROM job WHERE key_standings.key = job.key AND key_standings.stripe = $7
    RETURNING 1),
-- A provider may bill for a job whose money had ended: the row keeps its day and takes the cost in.
gained AS (
    INSERT INTO activity (job, at, workspace, key, model, provider, status, reason, outputs, output_ms, user_cost,
        provider_cost)
    SELECT job.id, $5, job.workspace, job.key, job.model, coalesce(it.provider, job.provider), it.status, it.reason,
        it.outputs, it.output_ms, it.user_cost, it.provider_cost
    FROM job, jsonb_to_recordset($23::jsonb) AS it (
        provider text, status text, reason text, outputs bigint, output_ms bigint, user_cost bigint,
        provider_cost bigint)
    ON CONFLICT (job) DO UPDATE SET
        user_cost = activity.user_cost + excluded.user_cost,
        provider_cost = activity.provider_cost + excluded.provider_cost)
