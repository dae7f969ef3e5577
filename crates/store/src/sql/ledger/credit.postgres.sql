-- $1 workspace, $2 kind, $3 when, $4 reason, $5 what funds gain or lose, $6 in which stripe.
WITH posted AS (
    INSERT INTO postings (workspace, kind, at, reason, available, held, revenue, provider_cost, providers, funding)
    VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, -$5)
    RETURNING id, workspace, available, funding),
balance AS (
    INSERT INTO balances (workspace, stripe, available, held, revenue, provider_cost, providers, funding)
    SELECT workspace, $6, available, 0, 0, 0, 0, funding FROM posted
    ON CONFLICT (workspace, stripe) DO UPDATE SET
        available = balances.available + excluded.available,
        funding = balances.funding + excluded.funding)
SELECT id FROM posted
