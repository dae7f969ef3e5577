SELECT id, workspace, model, account, status, created_at, parked_at, parked_reason, due_at
FROM jobs INDEXED BY jobs_parked
WHERE parked_at IS NOT NULL AND (?1 IS NULL OR workspace = ?1) AND id > ?2
ORDER BY id LIMIT ?3
