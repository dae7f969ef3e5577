INSERT INTO jobs (id, workspace, generation, model, provider, session, state, status, version,
    fence, created_at, ended_at, due_at, life, key, account)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
