-- Leases on up to $2 jobs that somebody has begun on, on up to $3 that wait, whichever are longest due, and on those of
-- $4. What another process is just taking is passed over.
WITH begun AS MATERIALIZED (
    SELECT job FROM work WHERE phase <> 'waiting' AND claimable_at <= $1
    ORDER BY claimable_at LIMIT $2 FOR UPDATE SKIP LOCKED),
waiting AS MATERIALIZED (
    SELECT job FROM work WHERE phase = 'waiting' AND claimable_at <= $1
    ORDER BY claimable_at LIMIT $3 FOR UPDATE SKIP LOCKED),
chosen AS MATERIALIZED (
    SELECT place.job FROM unnest($4::text[]) AS it (job) CROSS JOIN LATERAL (
        SELECT job FROM work WHERE work.job = it.job AND claimable_at <= $1 FOR UPDATE SKIP LOCKED) AS place),
taken AS (
    UPDATE work SET fence = fence + 1, lease_until = $5, lease_by = $6
    FROM (SELECT job FROM begun UNION ALL SELECT job FROM waiting UNION ALL SELECT job FROM chosen) AS due
    WHERE work.job = due.job
    RETURNING work.job, work.fence, work.due_at)
-- Life and version are of one row, so they belong together even where a commit came between.
SELECT admissions.admission, jobs.life, jobs.version, taken.fence, taken.due_at, taken.job
FROM taken JOIN jobs ON jobs.id = taken.job JOIN admissions ON admissions.job = taken.job
