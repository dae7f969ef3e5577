-- What the latest attempts took that succeeded, up to $1 of each provider and model, the oldest first. From one kind to
-- the next by the index, however many there are of each.
WITH RECURSIVE kind AS (
    (SELECT provider, native_model FROM attempts
        WHERE done_at IS NOT NULL AND native_model IS NOT NULL ORDER BY provider, native_model LIMIT 1)
    UNION ALL
    SELECT following.provider, following.native_model
    FROM kind
    CROSS JOIN LATERAL (
        SELECT provider, native_model FROM attempts
        WHERE done_at IS NOT NULL AND native_model IS NOT NULL
            AND (attempts.provider, attempts.native_model) > (kind.provider, kind.native_model)
        ORDER BY provider, native_model LIMIT 1) AS following)
SELECT latest.provider, latest.native_model, latest.accepted_at, latest.not_done_at, latest.done_at
FROM kind
-- Backwards from the end of each kind, into the one before it where that has fewer: asked for by equality, a table that
-- nobody has counted yet is read and sorted whole, kind by kind.
CROSS JOIN LATERAL (
    SELECT provider, native_model, accepted_at, not_done_at, done_at FROM attempts
    WHERE done_at IS NOT NULL AND native_model IS NOT NULL
        AND (attempts.provider, attempts.native_model) <= (kind.provider, kind.native_model)
    ORDER BY provider DESC, native_model DESC, done_at DESC LIMIT $1) AS latest
WHERE latest.provider = kind.provider AND latest.native_model = kind.native_model
ORDER BY latest.done_at
