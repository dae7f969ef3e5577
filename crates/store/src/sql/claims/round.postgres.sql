-- The jobs of up to $3 workspaces behind $1 and up to $4 that wait for the account $5: up to $6 of each, those first
-- that are longest due.
WITH RECURSIVE round AS (
    (SELECT workspace FROM work
        WHERE phase = 'waiting' AND claimable_at IS NOT NULL AND account = $5 AND workspace > $1
        ORDER BY workspace LIMIT 1)
    UNION ALL
    SELECT (SELECT work.workspace FROM work
        WHERE phase = 'waiting' AND claimable_at IS NOT NULL AND account = $5 AND work.workspace > round.workspace
        ORDER BY work.workspace LIMIT 1)
    FROM round WHERE round.workspace IS NOT NULL AND ($4::text IS NULL OR round.workspace < $4))
SELECT round.workspace, queue.jobs, queue.claimable
FROM round
CROSS JOIN LATERAL (
    SELECT array_agg(due.job) AS jobs, array_agg(due.claimable_at) AS claimable FROM (
        SELECT work.job, work.claimable_at FROM work
        WHERE phase = 'waiting' AND account = $5 AND work.workspace = round.workspace AND claimable_at <= $2
        ORDER BY claimable_at LIMIT $6) AS due) AS queue
WHERE queue.jobs IS NOT NULL AND ($4::text IS NULL OR round.workspace <= $4)
LIMIT $3
