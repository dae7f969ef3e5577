SELECT least(
    (SELECT claimable_at FROM work WHERE phase = 'fetching' AND claimable_at IS NOT NULL
        ORDER BY claimable_at LIMIT 1),
    (SELECT claimable_at FROM work WHERE phase NOT IN ('waiting', 'fetching') AND claimable_at IS NOT NULL
        ORDER BY claimable_at LIMIT 1),
    (SELECT min(queue.claimable_at)
        FROM unnest($1::text[]) AS open (account)
        CROSS JOIN LATERAL (
            SELECT claimable_at FROM work
            WHERE phase = 'waiting' AND claimable_at IS NOT NULL AND work.account = open.account
            ORDER BY claimable_at LIMIT 1) AS queue))
