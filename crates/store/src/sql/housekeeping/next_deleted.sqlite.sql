SELECT seq, id FROM jobs INDEXED BY jobs_deleted
WHERE deleted_at IS NOT NULL AND due_at IS NULL AND id < ?1 AND life <> '' ORDER BY id LIMIT 1
