-- A secret stays for as long as a job may need it: one under way whose route names the key, or one that was given up on it
-- and may still be billed.
UPDATE provider_keys SET sealed = NULL WHERE id IN (
    SELECT lost.id FROM provider_keys AS lost
    WHERE lost.deleted_at IS NOT NULL AND lost.sealed IS NOT NULL AND lost.deleted_at <= $1
        AND NOT EXISTS (
            SELECT FROM jobs JOIN admissions ON admissions.job = jobs.id
            WHERE jobs.workspace = lost.workspace AND jobs.status IN ('queued', 'processing')
                AND jobs.deleted_at IS NULL AND strpos(admissions.admission, lost.id) > 0)
        AND NOT EXISTS (
            SELECT FROM work JOIN jobs ON jobs.id = work.job
            WHERE work.account = lost.provider || '#' || lost.id AND strpos(work.account, '#') > 0
                AND work.due_at IS NOT NULL AND work.phase = 'ended'
                AND CASE WHEN jobs.life <> '' THEN jobs.life::jsonb ->> 'fate' END IS NOT NULL)
    LIMIT $2)
