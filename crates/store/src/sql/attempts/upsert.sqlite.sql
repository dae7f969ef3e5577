-- What another worker learnt and could not commit stands on the row already; it is never written over
-- with nothing.
INSERT INTO attempts (job, number, candidate, provider, key, native, submitted_at, accepted_at, ended_at,
    outcome, failure, provider_cost, billed, native_model, not_done_at, done_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
ON CONFLICT (job, number) DO UPDATE SET
    native = coalesce(excluded.native, native),
    accepted_at = coalesce(excluded.accepted_at, accepted_at),
    ended_at = excluded.ended_at,
    outcome = excluded.outcome,
    failure = excluded.failure,
    provider_cost = coalesce(excluded.provider_cost, provider_cost),
    billed = excluded.billed,
    not_done_at = coalesce(excluded.not_done_at, not_done_at),
    done_at = coalesce(excluded.done_at, done_at)
