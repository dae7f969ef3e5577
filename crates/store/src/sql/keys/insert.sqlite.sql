INSERT INTO keys (id, kid, workspace, name, role, secret_sha256, created_at, revoked_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO NOTHING
