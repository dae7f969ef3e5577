-- The commit of a transition that leaves nothing beside its job, as most polls do: as in commit, and at a fraction of
-- its price, for a statement opens every table that it names.
-- $1 the job's id, $2 the version seen, $3 the fence, or NULL for a client's call, which has none, $4 state, $5 status,
-- $6 life, $7 due, $8 ended, $9 the provider newly shown, $10 whether the lease ends, $11 phase, $12 account.
WITH held AS MATERIALIZED (
    SELECT job FROM work WHERE job = $1 AND ($3::bigint IS NULL OR fence = $3) FOR NO KEY UPDATE),
job AS (
    UPDATE jobs SET
        state = $4, status = $5, life = $6, ended_at = $8, provider = coalesce($9, provider),
        version = version + 1
    FROM held WHERE jobs.id = $1 AND jobs.version = $2
    RETURNING jobs.version),
place AS (
    UPDATE work SET
        phase = $11, due_at = $7, account = $12, strikes = 0, parked_at = NULL, parked_reason = NULL,
        lease_until = CASE WHEN $10 THEN NULL ELSE lease_until END,
        lease_by = CASE WHEN $10 THEN NULL ELSE lease_by END
    FROM job WHERE work.job = $1)
SELECT version FROM job
