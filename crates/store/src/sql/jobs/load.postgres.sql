SELECT admissions.admission, jobs.life, jobs.version, work.fence
FROM jobs JOIN work ON work.job = jobs.id JOIN admissions ON admissions.job = jobs.id
WHERE jobs.id = $1
