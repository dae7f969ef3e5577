-- A job that is due and that somebody has begun on stands in one of these: what is to be fetched does not queue behind
-- what is to be asked for.
DROP INDEX work_begun;
CREATE INDEX work_fetching ON work (claimable_at) WHERE claimable_at IS NOT NULL AND phase = 'fetching';
CREATE INDEX work_not_fetching ON work (claimable_at)
    WHERE claimable_at IS NOT NULL AND phase NOT IN ('waiting', 'fetching');

-- How long an attempt took, as far as it was looked at; unknown for those of earlier releases.
ALTER TABLE attempts ADD COLUMN native_model text COLLATE "C";
ALTER TABLE attempts ADD COLUMN not_done_at bigint;
ALTER TABLE attempts ADD COLUMN done_at bigint;
CREATE INDEX attempts_done ON attempts (provider, native_model, done_at)
    WHERE done_at IS NOT NULL AND native_model IS NOT NULL;
