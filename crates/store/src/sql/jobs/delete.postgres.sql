-- Empties a job that has ended, unless its version moved.
-- $1 id, $2 the version seen, $3 now, $4 life and $5 admission without what is its owner's, $6 objects it names no more,
-- $7 due.
WITH job AS (
    UPDATE jobs SET life = $4, session = NULL, deleted_at = $3, version = version + 1
    WHERE id = $1 AND version = $2 AND ended_at IS NOT NULL AND deleted_at IS NULL
    RETURNING id),
admission AS (
    UPDATE admissions SET admission = $5 FROM job WHERE admissions.job = $1),
unnamed AS (
    DELETE FROM objects USING job WHERE objects.job = $1 AND objects.key = ANY($6)),
place AS (
    UPDATE work SET due_at = $7 FROM job WHERE work.job = $1),
acknowledged AS (
    DELETE FROM unacknowledged USING job WHERE unacknowledged.job = $1)
SELECT 1 FROM job
