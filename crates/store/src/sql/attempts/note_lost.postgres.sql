UPDATE attempts SET
    native = coalesce(native, $3),
    accepted_at = coalesce(accepted_at, $4),
    provider_cost = coalesce(provider_cost, $5)
WHERE job = $1 AND number = $2
