-- A job that is due and that somebody has begun on stands in one of these: what is to be fetched does not queue behind
-- what is to be asked for.
DROP INDEX jobs_under_way;
CREATE INDEX jobs_fetching ON jobs (claimable_at) WHERE due_at IS NOT NULL AND state = 'fetching';
CREATE INDEX jobs_not_fetching ON jobs (claimable_at)
    WHERE due_at IS NOT NULL AND state NOT IN ('accepted', 'fetching');
