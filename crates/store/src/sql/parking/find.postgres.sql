SELECT work.job, work.workspace, jobs.model, work.account, jobs.status, jobs.created_at, work.parked_at,
    work.parked_reason, work.due_at
FROM work JOIN jobs ON jobs.id = work.job
WHERE work.job = $1 AND work.parked_at IS NOT NULL
