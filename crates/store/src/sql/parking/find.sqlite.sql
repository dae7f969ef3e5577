SELECT id, workspace, model, account, status, created_at, parked_at, parked_reason, due_at
FROM jobs WHERE id = ?1 AND parked_at IS NOT NULL
