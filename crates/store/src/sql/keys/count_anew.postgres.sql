-- What was captured since $3, from the settled jobs of the key's workspace, all in the first stripe.
UPDATE key_standings SET
    counted_from = $3,
    captured = CASE stripe WHEN 0 THEN (
        SELECT coalesce(sum(user_cost), 0)::bigint FROM activity WHERE workspace = $2 AND at >= $3 AND key = $1)
        ELSE 0 END
WHERE key = $1
