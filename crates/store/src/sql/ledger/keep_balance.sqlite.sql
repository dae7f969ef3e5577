INSERT INTO balances (workspace, available, held, revenue, provider_cost, providers, funding)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (workspace) DO UPDATE SET
    available = available + excluded.available,
    held = held + excluded.held,
    revenue = revenue + excluded.revenue,
    provider_cost = provider_cost + excluded.provider_cost,
    providers = providers + excluded.providers,
    funding = funding + excluded.funding
