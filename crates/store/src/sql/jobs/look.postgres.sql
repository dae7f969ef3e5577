-- All that speaks for or against a new job, in one look. What is not asked about is not read.
-- $1 key, $2 workspace, $3 now; $4 route and $5 key of the binding, or NULL; $6 fingerprint, or NULL, $7 since when it
-- is looked for, $8 the bit of a retry that says so, or 0, $9 until when it is kept; $10 whether funds are needed;
-- $11 after how many seconds of silence a process is gone.
SELECT
    bound.digest, bound.object,
    coalesce(said_nothing.job, said_so.job) AS repeats,
    keys.limit_nanos, keys.limit_reset, keys.max_in_flight,
    standing.in_flight, standing.held, standing.captured, standing.counted_from,
    funds.available,
    $6::bytea IS NOT NULL AND $8 = 0 AND EXISTS (
        SELECT FROM processes WHERE seen_at < now() - make_interval(secs => $11)) AS somebody_is_gone,
    coalesce($6::bytea IS NOT NULL AND (SELECT created_at FROM unacknowledged ORDER BY job LIMIT 1) <= $9, false)
        AS some_are_too_old,
    coalesce($4::text IS NOT NULL AND (SELECT min(expires_at) FROM bindings) <= $3, false) AS some_have_expired
FROM (VALUES (1)) AS question
LEFT JOIN bindings AS bound
    ON bound.workspace = $2 AND bound.route = $4 AND bound.key = $5 AND bound.expires_at > $3
LEFT JOIN LATERAL (
    SELECT job FROM unacknowledged
    WHERE $8 = 0 AND answer = 'lost' AND fingerprint = $6 AND created_at > $7
    ORDER BY created_at, job LIMIT 1) AS said_nothing ON true
LEFT JOIN LATERAL (
    SELECT job FROM unacknowledged
    WHERE $8 <> 0 AND matched & $8 = 0 AND fingerprint = $6 AND created_at > $7
    ORDER BY created_at, job LIMIT 1) AS said_so ON true
LEFT JOIN keys ON keys.id = $1
LEFT JOIN LATERAL (
    SELECT in_flight, held, captured, counted_from FROM standings
    WHERE key = $1 AND (keys.limit_nanos IS NOT NULL OR keys.max_in_flight IS NOT NULL)
    LIMIT 1) AS standing ON true
LEFT JOIN LATERAL (
    SELECT sum(available)::bigint AS available FROM balances WHERE $10 AND workspace = $2) AS funds ON true
