-- Most calls find nothing to delete: they write nothing and wait for no disk.
WITH acknowledged AS (
    DELETE FROM unacknowledged USING jobs
    WHERE unacknowledged.job = $1 AND jobs.id = $1 AND jobs.workspace = $2)
SELECT admissions.admission, jobs.life, jobs.version, work.fence, jobs.deleted_at IS NOT NULL
FROM jobs JOIN work ON work.job = jobs.id LEFT JOIN admissions ON admissions.job = jobs.id
WHERE jobs.id = $1 AND jobs.workspace = $2
