-- How many of the jobs that somebody has begun on are due, as far as it matters.
SELECT count(*) FROM (
    SELECT FROM work WHERE phase <> 'waiting' AND claimable_at <= $1
    ORDER BY claimable_at LIMIT $2) AS begun
