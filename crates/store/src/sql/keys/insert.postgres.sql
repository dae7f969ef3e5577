INSERT INTO keys (id, kid, workspace, name, role, created_at, revoked_at, limit_nanos, limit_reset, expires_at,
    disabled, max_in_flight, previous_until, secret_sha256, previous_sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT DO NOTHING
