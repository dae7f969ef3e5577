//! Workspaces' own credentials at providers; their secrets are bytes that the caller has sealed.

use filmgate_core::id::{ProviderKeyId, WorkspaceId};
use filmgate_core::provider_key::ProviderKey;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, Row, params};

use super::row::{id, instant};
use super::{actions, idempotency};
use crate::{Deed, Inserted, Once, StoreError, StoredProviderKey};

const COLUMNS: &str =
    "id, workspace, provider, label, hint, created_at, rotated_at, deleted_at, sealed";

pub(super) fn insert(
    db: &Connection,
    stored: &StoredProviderKey,
    deed: &Deed,
) -> Result<Once<Inserted>, StoreError> {
    let key = &stored.key;
    idempotency::once(db, deed, || {
        let rows = db
            .prepare_cached(&format!(
                "INSERT INTO provider_keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO NOTHING"
            ))?
            .execute(params![
                key.id.to_string(),
                key.workspace.to_string(),
                key.provider.0,
                key.label,
                key.hint,
                key.created_at.millis(),
                key.rotated_at.map(UnixTime::millis),
                key.deleted_at.map(UnixTime::millis),
                stored.sealed,
            ])?;
        Ok((Inserted::by(rows), (rows > 0).then(|| key.id.to_string())))
    })
}

pub(super) fn load(
    db: &Connection,
    key: ProviderKeyId,
) -> Result<Option<StoredProviderKey>, StoreError> {
    let mut question = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM provider_keys WHERE id = ?1"
    ))?;
    let mut rows = question.query([key.to_string()])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn list(
    db: &Connection,
    workspace: WorkspaceId,
) -> Result<Vec<ProviderKey>, StoreError> {
    let mut question = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM provider_keys WHERE workspace = ?1 ORDER BY id"
    ))?;
    let mut rows = question.query([workspace.to_string()])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read(row)?.key);
    }
    Ok(keys)
}

pub(super) fn rotate(
    db: &Connection,
    key: ProviderKeyId,
    sealed: &[u8],
    hint: &str,
    now: UnixTime,
    deed: &Deed,
) -> Result<Once<Option<ProviderKey>>, StoreError> {
    idempotency::once(db, deed, || {
        let rows = db
            .prepare_cached(
                "UPDATE provider_keys SET sealed = ?2, hint = ?3, rotated_at = ?4
                 WHERE id = ?1 AND deleted_at IS NULL",
            )?
            .execute(params![key.to_string(), sealed, hint, now.millis()])?;
        if rows == 0 {
            return Ok((None, None));
        }
        let rotated = load(db, key)?.map(|stored| stored.key);
        Ok((rotated, Some(key.to_string())))
    })
}

pub(super) fn delete(
    db: &Connection,
    key: ProviderKeyId,
    now: UnixTime,
    deed: &Deed,
) -> Result<Option<ProviderKey>, StoreError> {
    let deleted = db
        .prepare_cached(
            "UPDATE provider_keys SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL",
        )?
        .execute(params![key.to_string(), now.millis()])?;
    if deleted > 0 {
        actions::add(db, &deed.action)?;
    }
    Ok(load(db, key)?.map(|stored| stored.key))
}

fn read(row: &Row<'_>) -> Result<StoredProviderKey, StoreError> {
    let text = |column: usize| row.get::<_, String>(column);
    let at = |column: usize| -> Result<Option<UnixTime>, StoreError> {
        Ok(row.get::<_, Option<i64>>(column)?.map(instant))
    };
    Ok(StoredProviderKey {
        key: ProviderKey {
            id: id("a provider key's id", &text(0)?)?,
            workspace: id("a provider key's workspace", &text(1)?)?,
            provider: ProviderName(text(2)?),
            label: text(3)?,
            hint: text(4)?,
            created_at: instant(row.get(5)?),
            rotated_at: at(6)?,
            deleted_at: at(7)?,
        },
        sealed: row.get(8)?,
    })
}
