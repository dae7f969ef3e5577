//! Workspaces: the owners of everything else.

use filmgate_core::id::WorkspaceId;
use filmgate_core::key::Workspace;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::idempotency::{self, Opened};
use super::row::{self, id, instant, text};
use crate::{Deed, Inserted, Once, StoreError};

pub(super) async fn insert(
    db: &mut PgConnection,
    workspace: &Workspace,
    deed: &Deed,
) -> Result<Once<Inserted>, StoreError> {
    let mut tx = match idempotency::open(db, deed).await? {
        Opened::Free(tx) => tx,
        Opened::Bound(bound) => return Ok(Once::AlreadyBound(bound)),
    };
    let id = workspace.id.to_string();
    let inserted = sqlx::query(
        "INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(&id)
    .bind(text(&workspace.name))
    .bind(workspace.created_at.millis())
    .execute(&mut *tx)
    .await?;
    let inserted = row::inserted(&inserted);
    if inserted == Inserted::New {
        idempotency::close(tx, deed, &id).await?;
    }
    Ok(Once::Done(inserted))
}

pub(super) async fn list(db: &mut PgConnection) -> Result<Vec<Workspace>, StoreError> {
    let rows = sqlx::query("SELECT id, name, created_at FROM workspaces ORDER BY created_at, id")
        .fetch_all(db)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn find(
    db: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Option<Workspace>, StoreError> {
    let found = sqlx::query("SELECT id, name, created_at FROM workspaces WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(read).transpose()
}

fn read(row: &PgRow) -> Result<Workspace, StoreError> {
    Ok(Workspace {
        id: id("a workspace's id", row.try_get(0)?)?,
        name: row.try_get(1)?,
        created_at: instant(row.try_get(2)?),
    })
}
