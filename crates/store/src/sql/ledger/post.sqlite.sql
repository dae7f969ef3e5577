INSERT INTO postings (workspace, job, kind, hold, at, reason,
    available, held, revenue, provider_cost, providers, funding)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
