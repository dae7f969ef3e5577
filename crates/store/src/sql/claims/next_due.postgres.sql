SELECT least(
    (SELECT claimable_at FROM work WHERE phase <> 'waiting' AND claimable_at IS NOT NULL
        ORDER BY claimable_at LIMIT 1),
    (SELECT claimable_at FROM work WHERE phase = 'waiting' AND claimable_at IS NOT NULL
        ORDER BY claimable_at LIMIT 1))
