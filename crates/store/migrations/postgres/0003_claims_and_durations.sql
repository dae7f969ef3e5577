-- A job that is due and that somebody has begun on stands in one of these: what is to be fetched does not queue behind
-- what is to be asked for.
DROP INDEX work_begun;
CREATE INDEX work_fetching ON work (claimable_at) WHERE claimable_at IS NOT NULL AND phase = 'fetching';
CREATE INDEX work_not_fetching ON work (claimable_at)
    WHERE claimable_at IS NOT NULL AND phase NOT IN ('waiting', 'fetching');
