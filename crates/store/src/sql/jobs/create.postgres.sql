-- A job and all that stands beside it, unless its idempotency key was bound meanwhile: then nothing. Whoever binds the
-- same key at the same time waits here for the other.
-- $1 to $7 as in transitions; $8 workspace, $9 generation, $10 key, $11 model, $12 provider, $13 session, $14 state,
-- $15 status, $16 version, $17 fence, $18 ended, $19 due, $20 phase, $21 life, $22 admission, $23 what is held;
-- $24 fingerprint, or NULL, $25 its lock, $26 what it is matched by, $27 this process;
-- $28 route, or NULL, $29 key, $30 digest and $31 expiry of the binding; $32 account.
WITH bound AS (
    INSERT INTO bindings (workspace, route, key, digest, object, expires_at)
    SELECT $8, $28, $29, $30, $1, $31 WHERE $28 IS NOT NULL
    ON CONFLICT (workspace, route, key) DO UPDATE SET
        digest = excluded.digest, object = excluded.object, expires_at = excluded.expires_at
        WHERE bindings.expires_at <= $5
    RETURNING object),
-- A retry that says so waits for the first try, and that one for it.
locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared($25) WHERE $24 IS NOT NULL),
gate AS MATERIALIZED (
    SELECT (SELECT count(*) FROM locked) AS locks WHERE $28 IS NULL OR EXISTS (SELECT FROM bound)),
job AS (
    INSERT INTO jobs (id, workspace, generation, key, model, provider, session, state, status, version, created_at,
        ended_at, life)
    SELECT $1, $8, $9, $10, $11, $12, $13, $14, $15, $16, $5, $18, $21 FROM gate WHERE locks >= 0
    RETURNING id, workspace, key, model, provider, version),
admission AS (
    INSERT INTO admissions (job, admission) SELECT id, $22 FROM job),
place AS (
    INSERT INTO work (job, workspace, account, phase, fence, due_at)
    SELECT id, workspace, $32, $20, $17, $19 FROM job),
unanswered AS (
    INSERT INTO unacknowledged (job, fingerprint, created_at, answer, answer_by, matched)
    SELECT id, $24, $5, 'open', $27, $26 FROM job WHERE $24 IS NOT NULL),
standing AS (
    INSERT INTO key_standings (key, stripe, in_flight, held, captured, counted_from, limit_reset)
    SELECT job.key, $7, 1, $23, 0, 0, (SELECT limit_reset FROM keys WHERE keys.id = job.key) FROM job
    ON CONFLICT (key, stripe) DO UPDATE SET
        in_flight = key_standings.in_flight + 1, held = key_standings.held + excluded.held
    RETURNING 1)
