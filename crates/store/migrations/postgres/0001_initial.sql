-- Instants are milliseconds since the unix epoch, money is nano-dollars, ids stand in their text form, which sorts as
-- they were minted: whatever is compared or sorted is collated by its bytes, whichever way the database is set up.

CREATE TABLE workspaces (
    id         text   COLLATE "C" PRIMARY KEY,
    name       text   COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE keys (
    id              text    COLLATE "C" PRIMARY KEY,
    kid             text    COLLATE "C" NOT NULL UNIQUE,
    workspace       text    COLLATE "C" NOT NULL REFERENCES workspaces (id),
    name            text    NOT NULL,
    role            text    NOT NULL CHECK (role IN ('read', 'member', 'admin')),
    secret_sha256   bytea   NOT NULL CHECK (length(secret_sha256) = 32),
    created_at      bigint  NOT NULL,
    revoked_at      bigint,
    limit_nanos     bigint  CHECK (limit_nanos >= 0),
    limit_reset     text    CHECK (limit_reset IN ('daily', 'weekly', 'monthly')),
    expires_at      bigint,
    disabled        boolean NOT NULL DEFAULT false,
    max_in_flight   bigint  CHECK (max_in_flight >= 1),
    -- The secret before the last rotation, and until when it works.
    previous_sha256 bytea   CHECK (length(previous_sha256) = 32),
    previous_until  bigint
);

-- PostgreSQL writes a whole row for every change of it, and an entry in each of its indexes unless no indexed column
-- changed. So a job is three rows: what was admitted, which is large and stays; what clients see, which changes a few
-- times and is listed by many indexes; and its place in the queue, which changes with every look at a provider.
CREATE TABLE jobs (
    id         text   COLLATE "C" PRIMARY KEY,
    workspace  text   COLLATE "C" NOT NULL REFERENCES workspaces (id),
    generation text   COLLATE "C" NOT NULL UNIQUE,
    key        text   COLLATE "C" NOT NULL,
    model      text   COLLATE "C" NOT NULL,
    -- As the public API shows it.
    provider   text   COLLATE "C" NOT NULL,
    session    text   COLLATE "C",
    state      text   NOT NULL CHECK (state IN (
        'accepted', 'submitting', 'running', 'fetching', 'completed', 'failed', 'cancelled', 'expired')),
    status     text   COLLATE "C" NOT NULL,
    version    bigint NOT NULL CHECK (version >= 1),
    created_at bigint NOT NULL,
    ended_at   bigint,
    deleted_at bigint,
    life       text   NOT NULL,

    CONSTRAINT a_status_is_its_states CHECK (status = CASE state
        WHEN 'accepted' THEN 'queued' WHEN 'submitting' THEN 'queued'
        WHEN 'running' THEN 'processing' WHEN 'fetching' THEN 'processing'
        ELSE state END),
    CONSTRAINT a_terminal_job_has_ended CHECK (
        (ended_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled', 'expired'))),
    CONSTRAINT only_a_terminal_job_is_deleted CHECK (deleted_at IS NULL OR ended_at IS NOT NULL)
) WITH (fillfactor = 70);

-- Lists of every status are put together from the six stretches of this one: a second index would be paid for by
-- every create.
CREATE INDEX jobs_by_status ON jobs (workspace, status, id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_session ON jobs (workspace, session, id) WHERE deleted_at IS NULL AND session IS NOT NULL;

-- Those that are not emptied yet.
CREATE INDEX jobs_deleted ON jobs (id) WHERE deleted_at IS NOT NULL AND life <> '';

CREATE TABLE admissions (
    job       text COLLATE "C" PRIMARY KEY REFERENCES jobs (id),
    admission text NOT NULL
);

CREATE TABLE work (
    job          text   COLLATE "C" PRIMARY KEY REFERENCES jobs (id),
    workspace    text   COLLATE "C" NOT NULL,
    -- The account it runs on, or is to be submitted on next.
    account      text   COLLATE "C" NOT NULL,
    -- Waiting: nobody has begun on it. Ended: a loose end may be left.
    phase        text   NOT NULL CHECK (phase IN ('waiting', 'submitting', 'running', 'fetching', 'ended')),
    fence        bigint NOT NULL CHECK (fence >= 0),
    due_at       bigint,
    lease_until  bigint,
    lease_by     text,
    -- How often a lease on it ran out since something last came of it.
    strikes      bigint NOT NULL DEFAULT 0 CHECK (strikes >= 0),
    -- Nobody works on a parked job; its due time is when it is ended all the same.
    parked_at     bigint,
    parked_reason text,
    -- From then on a worker may take the job: it is due, and nobody's lease runs.
    claimable_at bigint GENERATED ALWAYS AS (
        CASE WHEN due_at IS NOT NULL THEN greatest(due_at, lease_until) END) STORED,

    CONSTRAINT a_job_under_way_is_looked_at_again CHECK (phase = 'ended' OR due_at IS NOT NULL),
    CONSTRAINT a_lease_has_a_holder CHECK ((lease_until IS NULL) = (lease_by IS NULL)),
    CONSTRAINT what_is_parked_has_a_reason CHECK ((parked_at IS NULL) = (parked_reason IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- A job that is due stands in the first of these while somebody works on it, and in the other two while it waits:
-- by time, to see that all can be taken, and by workspace, to take turns where they cannot. Finished jobs are in none,
-- so a claim costs the same with a million of them.
CREATE INDEX work_begun ON work (claimable_at) WHERE claimable_at IS NOT NULL AND phase <> 'waiting';
CREATE INDEX work_waiting ON work (account, claimable_at) WHERE claimable_at IS NOT NULL AND phase = 'waiting';
CREATE INDEX work_by_turn ON work (account, workspace, claimable_at)
    WHERE claimable_at IS NOT NULL AND phase = 'waiting';
-- The places that are taken. A job that was claimed to be submitted has one for as long as its lease runs.
CREATE INDEX work_at_provider ON work (account)
    WHERE phase IN ('submitting', 'running') OR (phase = 'waiting' AND lease_until IS NOT NULL);
CREATE INDEX work_parked ON work (job) WHERE parked_at IS NOT NULL;

CREATE TABLE attempts (
    job           text   COLLATE "C" NOT NULL REFERENCES jobs (id),
    number        bigint NOT NULL CHECK (number >= 1),
    candidate     bigint NOT NULL CHECK (candidate >= 0),
    provider      text   NOT NULL,
    key           text   NOT NULL,
    native        text,
    submitted_at  bigint NOT NULL,
    accepted_at   bigint,
    ended_at      bigint,
    outcome       text   NOT NULL CHECK (outcome IN (
        'open', 'refused', 'absent', 'ambiguous', 'succeeded', 'failed', 'abandoned')),
    failure       text,
    provider_cost bigint CHECK (provider_cost >= 0),
    billed        text   NOT NULL CHECK (billed IN ('yes', 'no', 'unknown')),
    PRIMARY KEY (job, number)
) WITH (fillfactor = 80);

CREATE TABLE timeline (
    job        text   COLLATE "C" NOT NULL REFERENCES jobs (id),
    version    bigint NOT NULL,
    at         bigint NOT NULL,
    cause      text   NOT NULL,
    actor      text   NOT NULL,
    from_state text,
    to_state   text   NOT NULL,
    attempt    bigint,
    detail     text,
    PRIMARY KEY (job, version)
);

CREATE TABLE outbox (
    job     text   COLLATE "C" NOT NULL REFERENCES jobs (id),
    version bigint NOT NULL,
    kind    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (job, version, kind)
);

-- The entries of a posting are its columns, one per account: a row is one write, and cannot be unbalanced.
CREATE TABLE postings (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace     text   COLLATE "C" NOT NULL REFERENCES workspaces (id),
    job           text   COLLATE "C" REFERENCES jobs (id),
    kind          text   NOT NULL CHECK (kind IN (
        'top_up', 'adjustment', 'hold', 'capture', 'release', 'overage', 'provider_cost')),
    hold          text   COLLATE "C",
    at            bigint NOT NULL,
    reason        text,
    available     bigint NOT NULL,
    held          bigint NOT NULL,
    revenue       bigint NOT NULL,
    provider_cost bigint NOT NULL,
    providers     bigint NOT NULL,
    funding       bigint NOT NULL,

    CONSTRAINT a_posting_sums_to_zero CHECK (
        available + held + revenue + provider_cost + providers + funding = 0),
    CONSTRAINT what_moves_a_hold_names_it CHECK (
        (hold IS NOT NULL) = (kind IN ('hold', 'capture', 'release')))
);

-- A hold is opened once and closed once, whoever races.
CREATE UNIQUE INDEX postings_by_hold ON postings (hold, (kind = 'hold')) WHERE hold IS NOT NULL;
CREATE INDEX postings_by_workspace ON postings (workspace, id);

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

-- The sums of the postings, kept in the transaction that posts. A transaction keeps the row it writes to itself until
-- it is on disk, so one row for a workspace would let one commit through at a time: each has several, and a job's
-- postings all go to the same. The operator's and the world's accounts are kept per workspace too.
CREATE TABLE balances (
    workspace     text     COLLATE "C" NOT NULL REFERENCES workspaces (id),
    stripe        smallint NOT NULL,
    available     bigint   NOT NULL,
    held          bigint   NOT NULL,
    revenue       bigint   NOT NULL,
    provider_cost bigint   NOT NULL,
    providers     bigint   NOT NULL,
    funding       bigint   NOT NULL,
    PRIMARY KEY (workspace, stripe)
) WITH (fillfactor = 25);

-- What each key's jobs have under way and have spent, kept in the transactions that change it; in stripes, as
-- `balances` is.
CREATE TABLE key_standings (
    key          text     COLLATE "C" NOT NULL,
    stripe       smallint NOT NULL,
    in_flight    bigint   NOT NULL CHECK (in_flight >= 0),
    held         bigint   NOT NULL CHECK (held >= 0),
    -- Since `counted_from`, the start of the period of the last capture; of several stripes, those count that have
    -- the latest.
    captured     bigint   NOT NULL CHECK (captured >= 0),
    counted_from bigint   NOT NULL,
    -- The key's own, beside what it governs: whoever captures sees the one that is in force when the row is his.
    limit_reset  text,
    PRIMARY KEY (key, stripe)
) WITH (fillfactor = 25);

CREATE VIEW standings (key, in_flight, held, captured, counted_from) AS
    SELECT key, sum(in_flight)::bigint, sum(held)::bigint,
        sum(captured) FILTER (WHERE counted_from = latest)::bigint, max(latest)
    FROM (SELECT *, max(counted_from) OVER (PARTITION BY key) AS latest FROM key_standings) AS stripes
    GROUP BY key;

-- One row for each job that was completed, charged or paid for: what usage is added up from. The money in it is that
-- of the job's postings, written in the same transactions.
CREATE TABLE activity (
    job           text   COLLATE "C" PRIMARY KEY REFERENCES jobs (id),
    workspace     text   COLLATE "C" NOT NULL,
    at            bigint NOT NULL,
    key           text   COLLATE "C" NOT NULL,
    model         text   COLLATE "C" NOT NULL,
    -- Whoever ran the last attempt.
    provider      text   COLLATE "C" NOT NULL,
    status        text   NOT NULL,
    reason        text   NOT NULL,
    outputs       bigint NOT NULL,
    output_ms     bigint NOT NULL,
    user_cost     bigint NOT NULL,
    provider_cost bigint NOT NULL
);
CREATE INDEX activity_by_workspace ON activity (workspace, at, job);
CREATE INDEX activity_by_time ON activity (at, job);

CREATE TABLE bindings (
    workspace  text   COLLATE "C" NOT NULL REFERENCES workspaces (id),
    route      text   COLLATE "C" NOT NULL,
    key        text   COLLATE "C" NOT NULL,
    digest     bytea  NOT NULL CHECK (length(digest) = 32),
    object     text   NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (workspace, route, key)
);
CREATE INDEX bindings_by_expiry ON bindings (expires_at);

-- Which stored objects are named by a job that is not deleted. A retried job shares its inputs.
CREATE TABLE objects (
    key text COLLATE "C" NOT NULL,
    job text COLLATE "C" NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (key, job)
);

CREATE TABLE sealed (
    name       text   COLLATE "C" PRIMARY KEY,
    sealed     bytea  NOT NULL,
    created_at bigint NOT NULL
);

-- Jobs of creates without an idempotency key, until a later call names them or they are too old to be repeated.
CREATE TABLE unacknowledged (
    job         text   COLLATE "C" PRIMARY KEY REFERENCES jobs (id),
    fingerprint bytea  NOT NULL CHECK (length(fingerprint) = 32),
    created_at  bigint NOT NULL,
    -- What became of the latest answer that named the job.
    answer      text   NOT NULL CHECK (answer IN ('open', 'given', 'lost')),
    -- The process that gives it; one that is gone gives none any more.
    answer_by   text   NOT NULL,
    -- A bit for each retry count that the job was made or matched by.
    matched     bigint NOT NULL
);
CREATE INDEX unacknowledged_by_fingerprint ON unacknowledged (fingerprint, created_at, job);
-- Nearly always empty: most creates look here and find nothing, however often the same was asked for before.
CREATE INDEX unacknowledged_by_lost_answer ON unacknowledged (fingerprint, created_at, job) WHERE answer = 'lost';

-- The processes that have this database, and when each was last heard of, by the database's clock.
CREATE TABLE processes (
    id      text        COLLATE "C" PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
CREATE INDEX processes_by_last_beat ON processes (seen_at);

-- Work that one process does for all, and when it was last begun.
CREATE TABLE chores (
    name     text   COLLATE "C" PRIMARY KEY,
    begun_at bigint NOT NULL
);

-- What operators did. Rows are only ever added.
CREATE TABLE actions (
    id         text   COLLATE "C" PRIMARY KEY,
    at         bigint NOT NULL,
    by         text,
    request_id text,
    kind       text   NOT NULL,
    workspace  text   COLLATE "C" NOT NULL REFERENCES workspaces (id),
    object     text   NOT NULL,
    detail     text   NOT NULL
);
