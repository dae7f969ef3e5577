SELECT work.job, work.workspace, jobs.model, work.account, jobs.status, jobs.created_at, work.parked_at,
    work.parked_reason, work.due_at
FROM work JOIN jobs ON jobs.id = work.job
WHERE work.parked_at IS NOT NULL AND ($1::text IS NULL OR work.workspace = $1) AND work.job > $2
ORDER BY work.job LIMIT $3
