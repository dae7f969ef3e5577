-- The job's answer is open again, unless another request was faster or a call has named the job.
-- $1 job, $2 the bit of a retry that says so, or 0, $3 the bit of this retry, $4 this process.
UPDATE unacknowledged SET answer = 'open', answer_by = $4, matched = matched | $3
WHERE job = $1 AND CASE WHEN $2 = 0 THEN answer = 'lost' ELSE matched & $2 = 0 END
