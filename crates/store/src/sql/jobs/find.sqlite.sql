SELECT admissions.admission, jobs.life, jobs.version, jobs.fence, jobs.deleted_at
FROM jobs LEFT JOIN admissions ON admissions.job = jobs.seq
WHERE jobs.id = ?1 AND jobs.workspace = ?2
