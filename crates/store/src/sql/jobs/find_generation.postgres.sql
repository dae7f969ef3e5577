SELECT admissions.admission, jobs.life, jobs.version, work.fence, jobs.deleted_at IS NOT NULL
FROM jobs JOIN work ON work.job = jobs.id JOIN admissions ON admissions.job = jobs.id
WHERE jobs.generation = $1 AND jobs.workspace = $2
