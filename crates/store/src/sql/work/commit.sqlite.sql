-- A fence of NULL stands for a client's call, which has none.
UPDATE jobs SET
    state = ?4, status = ?10, life = ?5, due_at = ?6, ended_at = ?7, provider = coalesce(?8, provider),
    account = ?11, version = version + 1, strikes = 0, parked_at = NULL, parked_reason = NULL,
    lease_until = iif(?9, NULL, lease_until), lease_by = iif(?9, NULL, lease_by)
WHERE id = ?1 AND version = ?2 AND (?3 IS NULL OR fence = ?3)
RETURNING seq, workspace, key, model, provider
