WITH
holds AS (
    SELECT sum(kind = 'hold') AS opened, sum(kind <> 'hold') AS closed
    FROM postings WHERE hold IS NOT NULL GROUP BY hold),
sums AS (
    SELECT workspace, sum(available) AS available, sum(held) AS held, sum(revenue) AS revenue,
        sum(provider_cost) AS provider_cost, sum(providers) AS providers, sum(funding) AS funding
    FROM postings GROUP BY workspace),
-- An account nobody posted to and an account without a balance both stand at zero.
differences AS (
    SELECT (coalesce(kept.available, 0) <> coalesce(sums.available, 0))
         + (coalesce(kept.held, 0) <> coalesce(sums.held, 0))
         + (coalesce(kept.revenue, 0) <> coalesce(sums.revenue, 0))
         + (coalesce(kept.provider_cost, 0) <> coalesce(sums.provider_cost, 0))
         + (coalesce(kept.providers, 0) <> coalesce(sums.providers, 0))
         + (coalesce(kept.funding, 0) <> coalesce(sums.funding, 0)) AS wrong
    FROM balances AS kept FULL JOIN sums ON sums.workspace = kept.workspace)
SELECT
    (SELECT count(*) FROM jobs),
    (SELECT count(*) FROM jobs WHERE ended_at IS NULL),
    (SELECT count(*) FROM holds WHERE opened > 0 AND closed = 0),
    (SELECT count(*) FROM holds WHERE closed > 1),
    (SELECT count(*) FROM postings),
    (SELECT count(*) FROM postings
        WHERE available + held + revenue + provider_cost + providers + funding <> 0),
    (SELECT coalesce(sum(wrong), 0) FROM differences),
    (SELECT coalesce(sum(available + held + revenue + provider_cost + providers + funding), 0) FROM postings)
