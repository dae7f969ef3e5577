-- Instants are milliseconds since the unix epoch, money is nano-dollars, ids stand in their text form,
-- which sorts as they were minted. The file is told by this number: "FLMG".
PRAGMA application_id = 1179405639;

CREATE TABLE workspaces (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id            TEXT    NOT NULL PRIMARY KEY,
    kid           TEXT    NOT NULL UNIQUE,
    workspace     TEXT    NOT NULL REFERENCES workspaces (id),
    name          TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('read', 'member', 'admin')),
    secret_sha256 BLOB    NOT NULL CHECK (length(secret_sha256) = 32),
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER
) STRICT, WITHOUT ROWID;

-- A job is its own queue entry. What was admitted stands in `admissions`, so that a change of its life
-- does not write those bytes again.
CREATE TABLE jobs (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    workspace    TEXT    NOT NULL REFERENCES workspaces (id),
    generation   TEXT    NOT NULL UNIQUE,
    model        TEXT    NOT NULL,
    -- As the public API shows it.
    provider     TEXT    NOT NULL,
    session      TEXT,
    state        TEXT    NOT NULL CHECK (state IN (
        'accepted', 'submitting', 'running', 'fetching', 'completed', 'failed', 'cancelled', 'expired')),
    status       TEXT    NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1),
    fence        INTEGER NOT NULL CHECK (fence >= 0),
    created_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    deleted_at   INTEGER,
    due_at       INTEGER,
    lease_until  INTEGER,
    lease_by     TEXT,
    -- From then on a worker may take the job: it is due, and nobody's lease runs.
    claimable_at INTEGER GENERATED ALWAYS AS (max(due_at, coalesce(lease_until, due_at))) VIRTUAL,
    life         TEXT    NOT NULL,

    CONSTRAINT a_status_is_its_states CHECK (status = CASE state
        WHEN 'accepted' THEN 'queued' WHEN 'submitting' THEN 'queued'
        WHEN 'running' THEN 'processing' WHEN 'fetching' THEN 'processing'
        ELSE state END),
    CONSTRAINT a_terminal_job_has_ended CHECK (
        (ended_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled', 'expired'))),
    CONSTRAINT a_job_under_way_is_looked_at_again CHECK (ended_at IS NOT NULL OR due_at IS NOT NULL),
    CONSTRAINT only_a_terminal_job_is_deleted CHECK (deleted_at IS NULL OR ended_at IS NOT NULL),
    CONSTRAINT a_lease_has_a_holder CHECK ((lease_until IS NULL) = (lease_by IS NULL))
) STRICT;

-- Finished jobs are not in it, so a claim costs the same with a million of them.
CREATE INDEX jobs_by_claimable ON jobs (claimable_at) WHERE due_at IS NOT NULL;
-- Lists of every status are put together from the six stretches of this one: a second index would be paid
-- for by every create.
CREATE INDEX jobs_by_status ON jobs (workspace, status, id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_session ON jobs (workspace, session, id) WHERE deleted_at IS NULL AND session IS NOT NULL;

CREATE TABLE admissions (
    job       INTEGER PRIMARY KEY REFERENCES jobs (seq),
    admission TEXT    NOT NULL
) STRICT;

CREATE TABLE attempts (
    job           TEXT    NOT NULL REFERENCES jobs (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    candidate     INTEGER NOT NULL CHECK (candidate >= 0),
    provider      TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    native        TEXT,
    submitted_at  INTEGER NOT NULL,
    accepted_at   INTEGER,
    ended_at      INTEGER,
    outcome       TEXT    NOT NULL CHECK (outcome IN (
        'open', 'refused', 'absent', 'ambiguous', 'succeeded', 'failed', 'abandoned')),
    failure       TEXT,
    provider_cost INTEGER CHECK (provider_cost >= 0),
    billed        TEXT    NOT NULL CHECK (billed IN ('yes', 'no', 'unknown')),
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE timeline (
    job        TEXT    NOT NULL REFERENCES jobs (id),
    version    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    cause      TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    from_state TEXT,
    to_state   TEXT    NOT NULL,
    attempt    INTEGER,
    detail     TEXT,
    PRIMARY KEY (job, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    job     TEXT    NOT NULL REFERENCES jobs (id),
    version INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    PRIMARY KEY (job, version, kind)
) STRICT, WITHOUT ROWID;

-- The entries of a posting are its columns, one per account: a row is one write, and cannot be unbalanced.
CREATE TABLE postings (
    id            INTEGER PRIMARY KEY,
    workspace     TEXT    NOT NULL REFERENCES workspaces (id),
    job           TEXT    REFERENCES jobs (id),
    kind          TEXT    NOT NULL CHECK (kind IN (
        'top_up', 'hold', 'capture', 'release', 'overage', 'provider_cost')),
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

-- A hold is opened once and closed once, whoever races.
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

-- The sums of the postings, kept in the transaction that posts. The operator's and the world's accounts are
-- kept per workspace and added up when asked for, so that no row is everybody's.
CREATE TABLE balances (
    workspace     TEXT    NOT NULL PRIMARY KEY REFERENCES workspaces (id),
    available     INTEGER NOT NULL,
    held          INTEGER NOT NULL,
    revenue       INTEGER NOT NULL,
    provider_cost INTEGER NOT NULL,
    providers     INTEGER NOT NULL,
    funding       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bindings (
    workspace  TEXT    NOT NULL REFERENCES workspaces (id),
    route      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    object     TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (workspace, route, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX bindings_by_expiry ON bindings (expires_at);

-- Which stored objects are named by a job that is not deleted. A retried job shares its inputs.
CREATE TABLE objects (
    key TEXT NOT NULL,
    job TEXT NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (key, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed (
    name       TEXT    NOT NULL PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, written to learn whether a write would work.
CREATE TABLE heartbeat (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    beats INTEGER NOT NULL
) STRICT;
INSERT INTO heartbeat (id, beats) VALUES (1, 0);
