-- Leases on up to $2 jobs that somebody has begun on, on up to $4 that wait for each of the accounts $3, whichever are
-- longest due, and on those of $5: until $6, or $7 where they wait or are being submitted. What another process is just
-- taking is passed over.
WITH begun AS MATERIALIZED (
    SELECT job FROM work WHERE phase <> 'waiting' AND claimable_at <= $1
    ORDER BY claimable_at LIMIT $2 FOR UPDATE SKIP LOCKED),
waiting AS MATERIALIZED (
    SELECT queue.job
    FROM unnest($3::text[], $4::bigint[]) AS open (account, jobs)
    CROSS JOIN LATERAL (
        SELECT job FROM work WHERE phase = 'waiting' AND work.account = open.account AND claimable_at <= $1
        ORDER BY claimable_at LIMIT open.jobs FOR UPDATE SKIP LOCKED) AS queue),
chosen AS MATERIALIZED (
    SELECT place.job FROM unnest($5::text[]) AS it (job) CROSS JOIN LATERAL (
        SELECT job FROM work WHERE work.job = it.job AND claimable_at <= $1 FOR UPDATE SKIP LOCKED) AS place),
taken AS (
    UPDATE work SET
        fence = fence + 1, strikes = strikes + (lease_until IS NOT NULL)::int,
        lease_until = CASE WHEN phase IN ('waiting', 'submitting') THEN $7 ELSE $6 END, lease_by = $8
    FROM (SELECT job FROM begun UNION ALL SELECT job FROM waiting UNION ALL SELECT job FROM chosen) AS due
    WHERE work.job = due.job
    RETURNING work.job, work.fence, work.due_at, work.lease_until, work.strikes, work.parked_at)
-- Life and version are of one row, so they belong together even where a commit came between.
SELECT admissions.admission, jobs.life, jobs.version, taken.fence, taken.due_at, taken.job, taken.lease_until,
    taken.strikes, taken.parked_at IS NOT NULL
FROM taken JOIN jobs ON jobs.id = taken.job JOIN admissions ON admissions.job = taken.job
