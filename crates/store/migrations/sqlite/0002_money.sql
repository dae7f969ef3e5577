-- Keys with limits, what they have spent, the operators' log, one row per settled job, repeated creates without a
-- key, and turns between workspaces.

ALTER TABLE keys ADD COLUMN limit_nanos INTEGER CHECK (limit_nanos >= 0);
ALTER TABLE keys ADD COLUMN limit_reset TEXT CHECK (limit_reset IN ('daily', 'weekly', 'monthly'));
ALTER TABLE keys ADD COLUMN expires_at INTEGER;
ALTER TABLE keys ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1));
ALTER TABLE keys ADD COLUMN max_in_flight INTEGER CHECK (max_in_flight >= 1);
-- The secret before the last rotation, and until when it works.
ALTER TABLE keys ADD COLUMN previous_sha256 BLOB CHECK (length(previous_sha256) = 32);
ALTER TABLE keys ADD COLUMN previous_until INTEGER;

ALTER TABLE jobs ADD COLUMN key TEXT NOT NULL DEFAULT '';
UPDATE jobs SET key = (SELECT json_extract(admission, '$.key') FROM admissions WHERE job = jobs.seq);

-- Jobs of creates without an idempotency key, until a later call names them or they are too old to be repeated.
CREATE TABLE unacknowledged (
    job         TEXT    NOT NULL PRIMARY KEY REFERENCES jobs (id),
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    created_at  INTEGER NOT NULL,
    -- What became of the latest answer that named the job.
    answer      TEXT    NOT NULL CHECK (answer IN ('open', 'given', 'lost')),
    -- A bit for each retry count that the job was made or matched by.
    matched     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX unacknowledged_by_fingerprint ON unacknowledged (fingerprint, created_at);
-- Nearly always empty: most creates look here and find nothing, however often the same was asked for before.
CREATE INDEX unacknowledged_by_lost_answer ON unacknowledged (fingerprint, created_at) WHERE answer = 'lost';

-- A job that is due stands in the first of these while somebody works on it, and in the other two while it waits:
-- by time, to see that all can be taken, and by workspace, to take turns where they cannot.
DROP INDEX jobs_by_claimable;
CREATE INDEX jobs_under_way ON jobs (claimable_at) WHERE due_at IS NOT NULL AND state <> 'accepted';
CREATE INDEX jobs_waiting ON jobs (claimable_at) WHERE due_at IS NOT NULL AND state = 'accepted';
CREATE INDEX jobs_by_turn ON jobs (workspace, claimable_at) WHERE due_at IS NOT NULL AND state = 'accepted';

-- A kind more: SQLite takes no other way to widen a CHECK.
DROP VIEW entries;
CREATE TABLE wider_postings (
    id            INTEGER PRIMARY KEY,
    workspace     TEXT    NOT NULL REFERENCES workspaces (id),
    job           TEXT    REFERENCES jobs (id),
    kind          TEXT    NOT NULL CHECK (kind IN (
        'top_up', 'adjustment', 'hold', 'capture', 'release', 'overage', 'provider_cost')),
    hold          TEXT,
    at            INTEGER NOT NULL,
    reason        TEXT,
    available     INTEGER NOT NULL,
    held          INTEGER NOT NULL,
    revenue       INTEGER NOT NULL,
    provider_cost INTEGER NOT NULL,
    providers     INTEGER NOT NULL,
    funding       INTEGER NOT NULL,

    CONSTRAINT a_posting_sums_to_zero CHECK (
        available + held + revenue + provider_cost + providers + funding = 0),
    CONSTRAINT what_moves_a_hold_names_it CHECK (
        (hold IS NOT NULL) = (kind IN ('hold', 'capture', 'release')))
) STRICT;
INSERT INTO wider_postings SELECT * FROM postings;
DROP TABLE postings;
ALTER TABLE wider_postings RENAME TO postings;
CREATE UNIQUE INDEX postings_by_hold ON postings (hold, (kind = 'hold')) WHERE hold IS NOT NULL;
CREATE VIEW entries (posting, workspace, job, at, account, amount) AS
    SELECT id, workspace, job, at, 'ws:available', available FROM postings WHERE available <> 0
    UNION ALL
    SELECT id, workspace, job, at, 'ws:held', held FROM postings WHERE held <> 0
    UNION ALL
    SELECT id, workspace, job, at, 'operator:revenue', revenue FROM postings WHERE revenue <> 0
    UNION ALL
    SELECT id, workspace, job, at, 'operator:provider_cost', provider_cost FROM postings WHERE provider_cost <> 0
    UNION ALL
    SELECT id, workspace, job, at, 'external:providers', providers FROM postings WHERE providers <> 0
    UNION ALL
    SELECT id, workspace, job, at, 'external:funding', funding FROM postings WHERE funding <> 0;

-- What each key's jobs have under way and have spent, kept in the transactions that change it.
CREATE TABLE key_standings (
    key          TEXT    NOT NULL PRIMARY KEY,
    in_flight    INTEGER NOT NULL CHECK (in_flight >= 0),
    held         INTEGER NOT NULL CHECK (held >= 0),
    -- Since `counted_from`, the start of the period of the last capture.
    captured     INTEGER NOT NULL CHECK (captured >= 0),
    counted_from INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO key_standings (key, in_flight, held, captured, counted_from)
SELECT jobs.key, sum(jobs.ended_at IS NULL), coalesce(sum(moved.held), 0), coalesce(sum(moved.revenue), 0), 0
FROM jobs
LEFT JOIN (SELECT job, sum(held) AS held, sum(revenue) AS revenue FROM postings WHERE job IS NOT NULL GROUP BY job)
    AS moved ON moved.job = jobs.id
GROUP BY jobs.key;

-- One row for each job that was completed, charged or paid for: what usage is added up from. The money in it is
-- that of the job's postings, written in the same transactions. A workspace's rows lie together, in the order of time.
CREATE TABLE activity (
    workspace     TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    job           INTEGER NOT NULL UNIQUE REFERENCES jobs (seq),
    key           TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    -- Whoever ran the last attempt.
    provider      TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    outputs       INTEGER NOT NULL,
    output_ms     INTEGER NOT NULL,
    user_cost     INTEGER NOT NULL,
    provider_cost INTEGER NOT NULL,
    PRIMARY KEY (workspace, at, job)
) STRICT, WITHOUT ROWID;

INSERT INTO activity (job, at, workspace, key, model, provider, status, reason, outputs, output_ms, user_cost,
    provider_cost)
SELECT jobs.seq, coalesce(money.at, jobs.ended_at), jobs.workspace, jobs.key, jobs.model,
    coalesce(json_extract(jobs.life, '$.attempt.provider'), jobs.provider), jobs.status,
    coalesce(json_extract(jobs.life, '$.settlement.reason'), 'released'),
    coalesce(json_array_length(jobs.life, '$.state.completed.assets'), 0),
    coalesce((SELECT sum(json_extract(value, '$.duration_ms'))
        FROM json_each(jobs.life, '$.state.completed.assets')), 0),
    coalesce(money.revenue, 0), coalesce(money.provider_cost, 0)
FROM jobs
LEFT JOIN (SELECT job, min(at) AS at, sum(revenue) AS revenue, sum(provider_cost) AS provider_cost FROM postings
    WHERE kind IN ('capture', 'overage', 'provider_cost') GROUP BY job) AS money ON money.job = jobs.id
WHERE money.job IS NOT NULL OR jobs.state = 'completed';

-- What operators did. Rows are only ever added.
CREATE TABLE actions (
    id         TEXT    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    by         TEXT,
    request_id TEXT,
    kind       TEXT    NOT NULL,
    workspace  TEXT    NOT NULL REFERENCES workspaces (id),
    object     TEXT    NOT NULL,
    detail     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
