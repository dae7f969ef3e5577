-- Leases on up to $2 jobs that are to be fetched, on up to $3 others that somebody has begun on, on up to $5 that wait for
-- each of the accounts $4, whichever are longest due, and on those of $6: until $7, or $8 where they wait or are being
-- submitted. What another process is just taking is passed over.
WITH fetches AS MATERIALIZED (
    SELECT job FROM work WHERE phase = 'fetching' AND claimable_at <= $1
    ORDER BY claimable_at LIMIT $2 FOR UPDATE SKIP LOCKED),
others AS MATERIALIZED (
    SELECT job FROM work WHERE phase NOT IN ('waiting', 'fetching') AND claimable_at <= $1
    ORDER BY claimable_at LIMIT $3 FOR UPDATE SKIP LOCKED),
waiting AS MATERIALIZED (
    SELECT queue.job
    FROM unnest($4::text[], $5::bigint[]) AS open (account, jobs)
    CROSS JOIN LATERAL (
        SELECT job FROM work WHERE phase = 'waiting' AND work.account = open.account AND claimable_at <= $1
        ORDER BY claimable_at LIMIT open.jobs FOR UPDATE SKIP LOCKED) AS queue),
chosen AS MATERIALIZED (
    SELECT place.job FROM unnest($6::text[]) AS it (job) CROSS JOIN LATERAL (
        SELECT job FROM work WHERE work.job = it.job AND claimable_at <= $1 FOR UPDATE SKIP LOCKED) AS place),
taken AS (
    UPDATE work SET
        fence = fence + 1, strikes = strikes + (lease_until IS NOT NULL)::int,
        lease_until = CASE WHEN phase IN ('waiting', 'submitting') THEN $8 ELSE $7 END, lease_by = $9
    FROM (
        SELECT job FROM fetches UNION ALL SELECT job FROM others
        UNION ALL SELECT job FROM waiting UNION ALL SELECT job FROM chosen) AS due
    WHERE work.job = due.job
    RETURNING work.job, work.fence, work.due_at, work.lease_until, work.strikes, work.parked_at)
-- Life and version are of one row, so they belong together even where a commit came between.
SELECT admissions.admission, jobs.life, jobs.version, taken.fence, taken.due_at, taken.job, taken.lease_until,
    taken.strikes, taken.parked_at IS NOT NULL
FROM taken JOIN jobs ON jobs.id = taken.job JOIN admissions ON admissions.job = taken.job
