//! The operators' log: rows are only ever added.

use filmgate_core::action::{Action, ActionKind};
use filmgate_core::id::{ActionId, WorkspaceId};
use rusqlite::{Connection, Row, params};

use super::row::{corrupt, from_json, id, instant, page};
use crate::{Page, StoreError};

pub(super) fn add(db: &Connection, action: &Action) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO actions (id, at, by, request_id, kind, workspace, object, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        action.id.to_string(),
        action.at.millis(),
        action.by.map(|key| key.to_string()),
        action.request_id,
        action.kind.as_str(),
        action.workspace.to_string(),
        action.object,
        action.detail.to_string(),
    ])?;
    Ok(())
}

pub(super) fn list(
    db: &Connection,
    workspace: Option<WorkspaceId>,
    after: Option<ActionId>,
    limit: u32,
) -> Result<Page<Action>, StoreError> {
    let mut question = db.prepare_cached(
        "SELECT id, at, by, request_id, kind, workspace, object, detail FROM actions
         WHERE (?1 IS NULL OR workspace = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let mut rows = question.query(params![
        workspace.map(|workspace| workspace.to_string()),
        after.map(|action| action.to_string()),
        i64::from(limit) + 1,
    ])?;
    let mut actions = Vec::new();
    while let Some(row) = rows.next()? {
        actions.push(read(row)?);
    }
    Ok(page(actions, limit))
}

fn read(row: &Row<'_>) -> Result<Action, StoreError> {
    let text = |column: usize| row.get::<_, String>(column);
    let by: Option<String> = row.get(2)?;
    let kind = text(4)?;
    Ok(Action {
        id: id("an action's id", &text(0)?)?,
        at: instant(row.get(1)?),
        by: by.map(|key| id("who acted", &key)).transpose()?,
        request_id: row.get(3)?,
        kind: ActionKind::parse(&kind).ok_or_else(|| corrupt("an action's kind", kind))?,
        workspace: id("an action's workspace", &text(5)?)?,
        object: text(6)?,
        detail: from_json("an action's detail", &text(7)?)?,
    })
}
