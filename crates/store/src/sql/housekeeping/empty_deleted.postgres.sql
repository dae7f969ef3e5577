-- Of jobs that were deleted long ago nothing is kept but their rows, which say that they were, and what was paid for
-- them.
WITH old AS MATERIALIZED (
    SELECT jobs.id FROM jobs JOIN work ON work.job = jobs.id
    WHERE deleted_at IS NOT NULL AND life <> '' AND work.due_at IS NULL AND jobs.id < $1
    ORDER BY jobs.id LIMIT $2 FOR UPDATE OF jobs SKIP LOCKED),
admission AS (DELETE FROM admissions USING old WHERE job = old.id),
line AS (DELETE FROM timeline USING old WHERE job = old.id),
told AS (DELETE FROM outbox USING old WHERE job = old.id),
named AS (DELETE FROM objects USING old WHERE job = old.id)
UPDATE jobs SET life = '' FROM old WHERE jobs.id = old.id
