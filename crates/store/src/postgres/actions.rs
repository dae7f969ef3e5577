//! The operators' log: rows are only ever added.

use std::borrow::Cow;

use filmgate_core::action::{Action, ActionKind};
use filmgate_core::id::{ActionId, WorkspaceId};
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::row::{corrupt, from_json, id, instant, page, text, text_if_any};
use crate::{Page, StoreError};

/// A line for a statement that writes it beside other rows.
#[derive(Debug, Serialize)]
pub(super) struct ActionRow<'a> {
    id: String,
    at: i64,
    by: Option<String>,
    request_id: Option<Cow<'a, str>>,
    kind: &'static str,
    workspace: String,
    object: Cow<'a, str>,
    detail: String,
}

impl<'a> ActionRow<'a> {
    pub(super) fn of(action: &'a Action) -> Self {
        Self {
            id: action.id.to_string(),
            at: action.at.millis(),
            by: action.by.map(|key| key.to_string()),
            request_id: text_if_any(action.request_id.as_deref()),
            kind: action.kind.as_str(),
            workspace: action.workspace.to_string(),
            object: text(&action.object),
            detail: action.detail.to_string(),
        }
    }
}

pub(super) async fn add(db: &mut PgConnection, action: &Action) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO actions (id, at, by, request_id, kind, workspace, object, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(action.id.to_string())
    .bind(action.at.millis())
    .bind(action.by.map(|key| key.to_string()))
    .bind(text_if_any(action.request_id.as_deref()))
    .bind(action.kind.as_str())
    .bind(action.workspace.to_string())
    .bind(text(&action.object))
    .bind(action.detail.to_string())
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn list(
    db: &mut PgConnection,
    workspace: Option<WorkspaceId>,
    after: Option<ActionId>,
    limit: u32,
) -> Result<Page<Action>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, at, by, request_id, kind, workspace, object, detail FROM actions
         WHERE ($1::text IS NULL OR workspace = $1) AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    )
    .bind(workspace.map(|workspace| workspace.to_string()))
    .bind(after.map(|action| action.to_string()))
    .bind(i64::from(limit) + 1)
    .fetch_all(db)
    .await?;
    let actions = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(page(actions, limit))
}

fn read(row: &PgRow) -> Result<Action, StoreError> {
    let by: Option<&str> = row.try_get(2)?;
    let kind: &str = row.try_get(4)?;
    Ok(Action {
        id: id("an action's id", row.try_get(0)?)?,
        at: instant(row.try_get(1)?),
        by: by.map(|key| id("who acted", key)).transpose()?,
        request_id: row.try_get(3)?,
        kind: ActionKind::parse(kind).ok_or_else(|| corrupt("an action's kind", kind))?,
        workspace: id("an action's workspace", row.try_get(5)?)?,
        object: row.try_get(6)?,
        detail: from_json("an action's detail", row.try_get(7)?)?,
    })
}
