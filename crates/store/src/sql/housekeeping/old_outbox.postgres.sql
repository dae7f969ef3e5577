DELETE FROM outbox WHERE (job, version, kind) IN (
    SELECT job, version, kind FROM outbox WHERE job < $1 ORDER BY job, version, kind LIMIT $2
    FOR UPDATE SKIP LOCKED)
