-- Ids sort by the time they were minted in, so the first ones are the oldest.
DELETE FROM unacknowledged WHERE job IN (
    SELECT job FROM unacknowledged
    WHERE created_at <= $1 AND job IN (SELECT job FROM unacknowledged ORDER BY job LIMIT 100)
    FOR UPDATE SKIP LOCKED)
