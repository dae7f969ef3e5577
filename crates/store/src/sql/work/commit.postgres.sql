-- The commit of a transition, whole or not at all: no row comes back where fence or version moved.
-- $1 to $7 as in transitions; $8 the version seen, $9 the fence, or NULL for a client's call, which has none, $10 state,
-- $11 status, $12 life, $13 due, $14 ended, $15 the provider newly shown, $16 whether the lease ends, $17 phase,
-- $18 account, $19 attempt, $20 objects it names no more, $21 lines of the operators' log.
WITH held AS MATERIALIZED (
    SELECT job FROM work WHERE job = $1 AND ($9::bigint IS NULL OR fence = $9) FOR NO KEY UPDATE),
job AS (
    UPDATE jobs SET
        state = $10, status = $11, life = $12, ended_at = $14, provider = coalesce($15, provider),
        version = version + 1
    FROM held WHERE jobs.id = $1 AND jobs.version = $8
    RETURNING jobs.id, jobs.workspace, jobs.key, jobs.model, jobs.provider, jobs.version),
place AS (
    UPDATE work SET
        phase = $17, due_at = $13, account = $18, strikes = 0, parked_at = NULL, parked_reason = NULL,
        lease_until = CASE WHEN $16 THEN NULL ELSE lease_until END,
        lease_by = CASE WHEN $16 THEN NULL ELSE lease_by END
    FROM job WHERE work.job = $1),
-- What another worker learnt and could not commit stands on the row already; it is never written over with nothing.
tried AS (
    INSERT INTO attempts (job, number, candidate, provider, key, native, submitted_at, accepted_at, ended_at, outcome,
        failure, provider_cost, billed, native_model, not_done_at, done_at)
    SELECT job.id, it.number, it.candidate, it.provider, it.key, it.native, it.submitted_at, it.accepted_at,
        it.ended_at, it.outcome, it.failure, it.provider_cost, it.billed, it.native_model, it.not_done_at, it.done_at
    FROM job, jsonb_to_recordset($19::jsonb) AS it (
        number bigint, candidate bigint, provider text, key text, native text, submitted_at bigint,
        accepted_at bigint, ended_at bigint, outcome text, failure text, provider_cost bigint, billed text,
        native_model text, not_done_at bigint, done_at bigint)
    ON CONFLICT (job, number) DO UPDATE SET
        native = coalesce(excluded.native, attempts.native),
        accepted_at = coalesce(excluded.accepted_at, attempts.accepted_at),
        ended_at = excluded.ended_at,
        outcome = excluded.outcome,
        failure = excluded.failure,
        provider_cost = coalesce(excluded.provider_cost, attempts.provider_cost),
        billed = excluded.billed,
        not_done_at = coalesce(excluded.not_done_at, attempts.not_done_at),
        done_at = coalesce(excluded.done_at, attempts.done_at)),
unnamed AS (
    DELETE FROM objects USING job WHERE objects.job = $1 AND objects.key = ANY($20::text[])),
logged AS (
    INSERT INTO actions (id, at, by, request_id, kind, workspace, object, detail)
    SELECT it.id, it.at, it.by, it.request_id, it.kind, it.workspace, it.object, it.detail
    FROM job, jsonb_to_recordset($21::jsonb) AS it (
        id text, at bigint, by text, request_id text, kind text, workspace text, object text, detail text))
