-- A provider may bill for a job whose money had ended: the row keeps its day and takes the cost in.
INSERT INTO activity (job, at, workspace, key, model, provider, status, reason, outputs, output_ms, user_cost,
    provider_cost)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (job) DO UPDATE SET
    user_cost = user_cost + excluded.user_cost,
    provider_cost = provider_cost + excluded.provider_cost
