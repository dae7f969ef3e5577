-- A job that is due and that somebody has begun on stands in one of these: what is to be fetched does not queue behind
-- what is to be asked for.
DROP INDEX jobs_under_way;
CREATE INDEX jobs_fetching ON jobs (claimable_at) WHERE due_at IS NOT NULL AND state = 'fetching';
CREATE INDEX jobs_not_fetching ON jobs (claimable_at)
    WHERE due_at IS NOT NULL AND state NOT IN ('accepted', 'fetching');

-- How long an attempt took, as far as it was looked at; unknown for those of earlier releases.
ALTER TABLE attempts ADD COLUMN native_model TEXT;
ALTER TABLE attempts ADD COLUMN not_done_at INTEGER;
ALTER TABLE attempts ADD COLUMN done_at INTEGER;
CREATE INDEX attempts_done ON attempts (provider, native_model, done_at)
    WHERE done_at IS NOT NULL AND native_model IS NOT NULL;
