WITH
holds AS (
    SELECT count(*) FILTER (WHERE kind = 'hold') AS opened, count(*) FILTER (WHERE kind <> 'hold') AS closed
    FROM postings WHERE hold IS NOT NULL GROUP BY hold),
sums AS (
    SELECT workspace, sum(available) AS available, sum(held) AS held, sum(revenue) AS revenue,
        sum(provider_cost) AS provider_cost, sum(providers) AS providers, sum(funding) AS funding
    FROM postings GROUP BY workspace),
-- An account nobody posted to and an account without a balance both stand at zero.
kept AS (
    SELECT workspace, sum(available) AS available, sum(held) AS held, sum(revenue) AS revenue,
        sum(provider_cost) AS provider_cost, sum(providers) AS providers, sum(funding) AS funding
    FROM balances GROUP BY workspace),
differences AS (
    SELECT (coalesce(kept.available, 0) <> coalesce(sums.available, 0))::int
         + (coalesce(kept.held, 0) <> coalesce(sums.held, 0))::int
         + (coalesce(kept.revenue, 0) <> coalesce(sums.revenue, 0))::int
         + (coalesce(kept.provider_cost, 0) <> coalesce(sums.provider_cost, 0))::int
         + (coalesce(kept.providers, 0) <> coalesce(sums.providers, 0))::int
         + (coalesce(kept.funding, 0) <> coalesce(sums.funding, 0))::int AS wrong
    FROM kept FULL JOIN sums ON sums.workspace = kept.workspace),
by_job AS (
    SELECT job, sum(held) AS held, sum(revenue) AS revenue, sum(provider_cost) AS provider_cost
    FROM postings WHERE job IS NOT NULL GROUP BY job),
by_key AS (
    SELECT jobs.key, count(*) FILTER (WHERE jobs.ended_at IS NULL) AS in_flight, coalesce(sum(by_job.held), 0) AS held
    FROM jobs LEFT JOIN by_job ON by_job.job = jobs.id GROUP BY jobs.key),
-- Since the period a key's captures were counted in last.
captures AS (
    SELECT kept.key, sum(activity.user_cost) AS captured
    FROM standings AS kept JOIN activity ON activity.key = kept.key AND activity.at >= kept.counted_from
    GROUP BY kept.key)
SELECT
    (SELECT count(*) FROM jobs),
    (SELECT count(*) FROM jobs WHERE ended_at IS NULL),
    (SELECT count(*) FROM holds WHERE opened > 0 AND closed = 0),
    (SELECT count(*) FROM holds WHERE closed > 1),
    (SELECT count(*) FROM postings),
    (SELECT count(*) FROM postings
        WHERE available + held + revenue + provider_cost + providers + funding <> 0),
    (SELECT coalesce(sum(wrong), 0) FROM differences)::bigint,
    (SELECT coalesce(sum(available + held + revenue + provider_cost + providers + funding), 0) FROM postings)::bigint,
    (SELECT count(*) FROM by_key
        FULL JOIN standings AS kept ON kept.key = by_key.key
        LEFT JOIN captures ON captures.key = coalesce(by_key.key, kept.key)
        WHERE coalesce(kept.in_flight, 0) <> coalesce(by_key.in_flight, 0)
           OR coalesce(kept.held, 0) <> coalesce(by_key.held, 0)
           OR coalesce(kept.captured, 0) <> coalesce(captures.captured, 0)),
    (SELECT count(*) FROM jobs
        LEFT JOIN by_job ON by_job.job = jobs.id
        LEFT JOIN activity ON activity.job = jobs.id
        WHERE coalesce(activity.user_cost, 0) <> coalesce(by_job.revenue, 0)
           OR coalesce(activity.provider_cost, 0) <> coalesce(by_job.provider_cost, 0)
           OR (jobs.state = 'completed' AND activity.job IS NULL))
