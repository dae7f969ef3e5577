-- Places at providers, work that is stuck, and what is removed in time.

-- The account a job runs on, or is to be submitted on next.
ALTER TABLE jobs ADD COLUMN account TEXT NOT NULL DEFAULT '';
UPDATE jobs SET account = coalesce(
    iif(state = 'accepted', NULL, json_extract(life, '$.attempt.provider')),
    (SELECT json_extract(admission, '$.route[' || json_extract(jobs.life, '$.route.at') || '].provider')
     FROM admissions WHERE job = jobs.seq),
    provider);

-- How often a lease on the job ran out since something last came of it.
ALTER TABLE jobs ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0 CHECK (strikes >= 0);
-- Nobody works on a parked job; its due time is when it is ended all the same.
ALTER TABLE jobs ADD COLUMN parked_at INTEGER;
ALTER TABLE jobs ADD COLUMN parked_reason TEXT CHECK ((parked_reason IS NULL) = (parked_at IS NULL));

DROP INDEX jobs_waiting;
DROP INDEX jobs_by_turn;
CREATE INDEX jobs_waiting ON jobs (account, claimable_at) WHERE due_at IS NOT NULL AND state = 'accepted';
CREATE INDEX jobs_by_turn ON jobs (account, workspace, claimable_at) WHERE due_at IS NOT NULL AND state = 'accepted';
-- The places that are taken. A job that was claimed to be submitted has one for as long as its lease runs.
CREATE INDEX jobs_at_provider ON jobs (account)
    WHERE state IN ('submitting', 'running') OR (state = 'accepted' AND lease_until IS NOT NULL);
CREATE INDEX jobs_parked ON jobs (id) WHERE parked_at IS NOT NULL;
-- Those that are not emptied yet.
CREATE INDEX jobs_deleted ON jobs (id) WHERE deleted_at IS NOT NULL AND life <> '';

-- Work that one process does for all, and when it was last begun.
CREATE TABLE chores (
    name     TEXT    NOT NULL PRIMARY KEY,
    begun_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
