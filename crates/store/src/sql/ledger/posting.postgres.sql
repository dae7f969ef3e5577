SELECT id, workspace, job, kind, hold, at, reason, available, held, revenue, provider_cost, providers, funding
FROM postings
