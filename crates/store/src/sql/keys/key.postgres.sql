SELECT id, kid, workspace, name, role, created_at, revoked_at, limit_nanos, limit_reset, expires_at, disabled,
    max_in_flight, previous_until, secret_sha256, previous_sha256
FROM keys
