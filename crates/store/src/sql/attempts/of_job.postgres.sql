SELECT number, candidate, provider, key, native, submitted_at, accepted_at, ended_at, outcome, failure,
    provider_cost, billed
FROM attempts WHERE job = $1 ORDER BY number
