SELECT admissions.admission, jobs.life, jobs.version, jobs.fence
FROM jobs JOIN admissions ON admissions.job = jobs.seq
WHERE jobs.id = ?1 AND jobs.deleted_at IS NULL
