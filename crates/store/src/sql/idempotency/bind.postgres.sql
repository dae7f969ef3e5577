INSERT INTO bindings (workspace, route, key, digest, object, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace, route, key) DO UPDATE SET
    digest = excluded.digest, object = excluded.object, expires_at = excluded.expires_at
