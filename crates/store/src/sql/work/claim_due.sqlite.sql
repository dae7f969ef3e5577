UPDATE jobs SET fence = fence + 1, lease_until = ?2, lease_by = ?3
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE due_at IS NOT NULL AND claimable_at <= ?1
    ORDER BY claimable_at LIMIT ?4)
RETURNING id, due_at
