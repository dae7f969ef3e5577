-- What a transition leaves beside its job in any case.
-- $1 the job's id, $2 timeline, $3 notices, $4 objects.
, line AS (
    INSERT INTO timeline (job, version, at, cause, actor, from_state, to_state, attempt, detail)
    SELECT job.id, job.version, it.at, it.cause, it.actor, it.from_state, it.to_state, it.attempt, it.detail
    FROM job, jsonb_to_recordset($2::jsonb) AS it (
        at bigint, cause text, actor text, from_state text, to_state text, attempt bigint, detail text)),
-- Saying the same thing twice at one version says it once.
told AS (
    INSERT INTO outbox (job, version, kind)
    SELECT job.id, job.version, it.kind FROM job, unnest($3::text[]) AS it (kind)
    ON CONFLICT DO NOTHING),
named AS (
    INSERT INTO objects (key, job)
    SELECT it.key, job.id FROM job, unnest($4::text[]) AS it (key)
    ON CONFLICT DO NOTHING)
