SELECT id, workspace, provider, label, hint, created_at,
    rotated_at, deleted_at, sealed
FROM provider_keys
