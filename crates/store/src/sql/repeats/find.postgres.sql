-- The job whose request this is once more, and whether somebody is gone whose open answers are lost.
-- $1 fingerprint, $2 since when it is looked for, $3 the bit of a retry that says so, or 0, $4 after how many seconds of
-- silence a process is gone.
SELECT
    coalesce(
        (SELECT job FROM unacknowledged
            WHERE $3 = 0 AND answer = 'lost' AND fingerprint = $1 AND created_at > $2
            ORDER BY created_at, job LIMIT 1),
        (SELECT job FROM unacknowledged
            WHERE $3 <> 0 AND matched & $3 = 0 AND fingerprint = $1 AND created_at > $2
            ORDER BY created_at, job LIMIT 1)),
    $3 = 0 AND EXISTS (SELECT FROM processes WHERE seen_at < now() - make_interval(secs => $4))
