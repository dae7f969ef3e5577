//! API keys, with what proves their secrets.

use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{Key, Role};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, Row, params};

use super::row::{corrupt, id, instant};
use super::sql;
use crate::{Inserted, StoreError, StoredKey};

const COLUMNS: &str = "id, kid, workspace, name, role, created_at, revoked_at, secret_sha256";

pub(super) fn insert(db: &Connection, stored: &StoredKey) -> Result<Inserted, StoreError> {
    let key = &stored.key;
    let rows = db.prepare_cached(sql!("keys/insert"))?.execute(params![
        key.id.to_string(),
        key.kid,
        key.workspace.to_string(),
        key.name,
        key.role.as_str(),
        stored.secret_sha256,
        key.created_at.millis(),
        key.revoked_at.map(UnixTime::millis),
    ])?;
    Ok(Inserted::by(rows))
}

pub(super) fn find(db: &Connection, kid: &str) -> Result<Option<StoredKey>, StoreError> {
    let mut question = db.prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE kid = ?1"))?;
    let mut rows = question.query([kid])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn list(
    db: &Connection,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<Key>, StoreError> {
    let mut question = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM keys WHERE ?1 IS NULL OR workspace = ?1 ORDER BY created_at, id"
    ))?;
    let mut rows = question.query([workspace.map(|workspace| workspace.to_string())])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read(row)?.key);
    }
    Ok(keys)
}

pub(super) fn revoke(db: &Connection, id: KeyId, now: UnixTime) -> Result<Option<Key>, StoreError> {
    let mut change = db.prepare_cached(&format!(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 RETURNING {COLUMNS}"
    ))?;
    let mut rows = change.query(params![id.to_string(), now.millis()])?;
    let revoked = rows.next()?.map(read).transpose()?;
    // The change is only whole once it was stepped to its end.
    while rows.next()?.is_some() {}
    Ok(revoked.map(|stored| stored.key))
}

fn read(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    let text = |column: usize| row.get::<_, String>(column);
    let role = text(4)?;
    let revoked_at: Option<i64> = row.get(6)?;
    Ok(StoredKey {
        key: Key {
            id: id("a key's id", &text(0)?)?,
            kid: text(1)?,
            workspace: id("a key's workspace", &text(2)?)?,
            name: text(3)?,
            role: Role::parse(&role).ok_or_else(|| corrupt("a key's role", role))?,
            created_at: instant(row.get(5)?),
            revoked_at: revoked_at.map(instant),
        },
        secret_sha256: row.get(7)?,
    })
}
