-- How many of the jobs that somebody has begun on are due, as far as it matters: to be fetched, and others.
SELECT
    (SELECT count(*) FROM (
        SELECT FROM work WHERE phase = 'fetching' AND claimable_at <= $1
        ORDER BY claimable_at LIMIT $2) AS fetches),
    (SELECT count(*) FROM (
        SELECT FROM work WHERE phase NOT IN ('waiting', 'fetching') AND claimable_at <= $1
        ORDER BY claimable_at LIMIT $2) AS others)
