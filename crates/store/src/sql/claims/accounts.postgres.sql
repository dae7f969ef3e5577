-- The accounts that jobs wait for, and how many places are taken at $1 of those among $2.
WITH RECURSIVE account AS (
    (SELECT account AS name FROM work
        WHERE phase = 'waiting' AND claimable_at IS NOT NULL ORDER BY account LIMIT 1)
    UNION ALL
    SELECT (SELECT work.account FROM work
        WHERE phase = 'waiting' AND claimable_at IS NOT NULL AND work.account > account.name
        ORDER BY work.account LIMIT 1)
    FROM account WHERE account.name IS NOT NULL)
SELECT account.name, places.taken
FROM account
CROSS JOIN LATERAL (
    SELECT count(*) AS taken FROM work
    WHERE (phase IN ('submitting', 'running') OR (phase = 'waiting' AND lease_until IS NOT NULL))
        AND work.account = account.name AND account.name = ANY($2)
        AND (phase <> 'waiting' OR lease_until > $1)) AS places
WHERE account.name IS NOT NULL
