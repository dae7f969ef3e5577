DELETE FROM timeline WHERE (job, version) IN (
    SELECT job, version FROM timeline WHERE job < $1 ORDER BY job, version LIMIT $2 FOR UPDATE SKIP LOCKED)
