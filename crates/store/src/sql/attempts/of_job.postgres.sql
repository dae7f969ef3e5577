SELECT number, candidate, provider, key, native, submitted_at, accepted_at, ended_at, outcome, failure,
    provider_cost, billed, native_model, not_done_at, done_at
FROM attempts WHERE job = $1 ORDER BY number
