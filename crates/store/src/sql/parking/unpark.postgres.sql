-- The job is due at once, and whatever it did before is forgiven.
WITH freed AS (
    UPDATE work SET parked_at = NULL, parked_reason = NULL, strikes = 0, due_at = $2
    WHERE job = $1 AND parked_at IS NOT NULL
    RETURNING job),
logged AS (
    INSERT INTO actions (id, at, by, request_id, kind, workspace, object, detail)
    SELECT it.id, it.at, it.by, it.request_id, it.kind, it.workspace, it.object, it.detail
    FROM freed, jsonb_to_recordset($3::jsonb) AS it (
        id text, at bigint, by text, request_id text, kind text, workspace text, object text, detail text))
SELECT 1 FROM freed
