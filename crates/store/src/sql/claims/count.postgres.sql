-- How much of either kind is due, as far as it matters: $2 places, and one job that does not fit.
SELECT
    (SELECT count(*) FROM (
        SELECT FROM work WHERE phase <> 'waiting' AND claimable_at <= $1
        ORDER BY claimable_at LIMIT $2) AS begun),
    (SELECT count(*) FROM (
        SELECT FROM work WHERE phase = 'waiting' AND claimable_at <= $1
        ORDER BY claimable_at LIMIT $2 + 1) AS waiting)
