//! Workspaces: the owners of everything else.

use filmgate_core::id::WorkspaceId;
use filmgate_core::key::Workspace;
use rusqlite::{Connection, Row, params};

use super::idempotency;
use super::row::{id, instant};
use crate::{Deed, Inserted, Once, StoreError};

pub(super) fn insert(
    db: &Connection,
    workspace: &Workspace,
    deed: &Deed,
) -> Result<Once<Inserted>, StoreError> {
    let id = workspace.id.to_string();
    idempotency::once(db, deed, || {
        let rows = db
            .prepare_cached(
                "INSERT INTO workspaces (id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![id, workspace.name, workspace.created_at.millis()])?;
        Ok((Inserted::by(rows), (rows > 0).then(|| id.clone())))
    })
}

pub(super) fn list(db: &Connection) -> Result<Vec<Workspace>, StoreError> {
    let mut question =
        db.prepare_cached("SELECT id, name, created_at FROM workspaces ORDER BY created_at, id")?;
    let mut rows = question.query([])?;
    let mut workspaces = Vec::new();
    while let Some(row) = rows.next()? {
        workspaces.push(read(row)?);
    }
    Ok(workspaces)
}

pub(super) fn find(db: &Connection, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
    let mut question =
        db.prepare_cached("SELECT id, name, created_at FROM workspaces WHERE id = ?1")?;
    let mut rows = question.query([id.to_string()])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<Workspace, StoreError> {
    let text: String = row.get(0)?;
    Ok(Workspace {
        id: id("a workspace's id", &text)?,
        name: row.get(1)?,
        created_at: instant(row.get(2)?),
    })
}
