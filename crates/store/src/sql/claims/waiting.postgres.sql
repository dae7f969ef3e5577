-- How many jobs that are due at $1 wait for each of the accounts $2, up to $3.
SELECT open.account, queue.jobs
FROM unnest($2::text[], $3::bigint[]) AS open (account, most)
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT FROM work WHERE phase = 'waiting' AND work.account = open.account AND claimable_at <= $1
        ORDER BY claimable_at LIMIT open.most) AS due) AS queue
WHERE queue.jobs > 0
