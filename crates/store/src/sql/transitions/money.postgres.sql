-- What it leaves where money moves. A hold that is closed already is refused by the schema. The key's standing is
-- always written before the balance: where everybody goes through two doors in one order, nobody is in another's way.
-- $5 when, $6 postings, $7 the stripe of the job.
, posted AS (
    INSERT INTO postings (workspace, job, kind, hold, at, available, held, revenue, provider_cost, providers, funding)
    SELECT job.workspace, job.id, it.kind, it.hold, $5, it.available, it.held, it.revenue, it.provider_cost,
        it.providers, it.funding
    FROM job, jsonb_to_recordset($6::jsonb) AS it (
        kind text, hold text, available bigint, held bigint, revenue bigint, provider_cost bigint, providers bigint,
        funding bigint)
    RETURNING available, held, revenue, provider_cost, providers, funding),
moved AS (
    SELECT sum(available)::bigint AS available, sum(held)::bigint AS held, sum(revenue)::bigint AS revenue,
        sum(provider_cost)::bigint AS provider_cost, sum(providers)::bigint AS providers,
        sum(funding)::bigint AS funding
    FROM posted HAVING count(*) > 0),
behind AS MATERIALIZED (SELECT count(*) AS standings FROM standing),
balance AS (
    INSERT INTO balances (workspace, stripe, available, held, revenue, provider_cost, providers, funding)
    SELECT job.workspace, $7, moved.available, moved.held, moved.revenue, moved.provider_cost, moved.providers,
        moved.funding
    FROM job, moved, behind WHERE behind.standings >= 0
    ON CONFLICT (workspace, stripe) DO UPDATE SET
        available = balances.available + excluded.available,
        held = balances.held + excluded.held,
        revenue = balances.revenue + excluded.revenue,
        provider_cost = balances.provider_cost + excluded.provider_cost,
        providers = balances.providers + excluded.providers,
        funding = balances.funding + excluded.funding)
