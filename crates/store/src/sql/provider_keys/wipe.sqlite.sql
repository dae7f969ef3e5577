-- A secret stays for as long as a job may need it: one under way whose route names the key, or one that was given up on it
-- and may still be billed.
UPDATE provider_keys SET sealed = NULL WHERE id IN (
    SELECT lost.id FROM provider_keys AS lost INDEXED BY provider_keys_deleted
    WHERE lost.deleted_at IS NOT NULL AND lost.sealed IS NOT NULL AND lost.deleted_at <= ?1
        AND NOT EXISTS (
            SELECT 1 FROM jobs INDEXED BY jobs_by_status JOIN admissions ON admissions.job = jobs.seq
            WHERE jobs.workspace = lost.workspace AND jobs.status IN ('queued', 'processing')
                AND jobs.deleted_at IS NULL AND instr(admissions.admission, lost.id) > 0)
        AND NOT EXISTS (
            SELECT 1 FROM jobs INDEXED BY jobs_on_own_account
            WHERE jobs.account = lost.provider || '#' || lost.id AND instr(jobs.account, '#') > 0
                AND jobs.due_at IS NOT NULL AND jobs.ended_at IS NOT NULL
                AND json_extract(jobs.life, '$.fate') IS NOT NULL)
    LIMIT ?2)
