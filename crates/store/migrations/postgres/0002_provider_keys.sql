-- Workspaces' own credentials at providers.

CREATE TABLE provider_keys (
    id         text   COLLATE "C" PRIMARY KEY,
    workspace  text   COLLATE "C" NOT NULL REFERENCES workspaces (id),
    provider   text   COLLATE "C" NOT NULL,
    label      text   NOT NULL,
    -- The secret, sealed under the master key; NULL once it was wiped.
    sealed     bytea,
    hint       text   NOT NULL CHECK (length(hint) <= 4),
    created_at bigint NOT NULL,
    rotated_at bigint,
    deleted_at bigint,

    CONSTRAINT only_a_deleted_key_is_wiped CHECK (sealed IS NOT NULL OR deleted_at IS NOT NULL)
);

CREATE UNIQUE INDEX provider_keys_in_force ON provider_keys (workspace, provider) WHERE deleted_at IS NULL;
CREATE INDEX provider_keys_by_workspace ON provider_keys (workspace, id);
-- Those that are not wiped yet.
CREATE INDEX provider_keys_deleted ON provider_keys (id) WHERE deleted_at IS NOT NULL AND sealed IS NOT NULL;

-- Jobs that run on a workspace's own credential, by the account that names it, while there is work left on them.
CREATE INDEX work_on_own_account ON work (account, due_at) WHERE due_at IS NOT NULL AND strpos(account, '#') > 0;
