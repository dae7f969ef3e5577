//! Workspaces' own credentials at providers; their secrets are bytes that the caller has sealed.

use filmgate_core::id::{ProviderKeyId, WorkspaceId};
use filmgate_core::provider_key::ProviderKey;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::connections::begin;
use super::idempotency::{self, Opened};
use super::row::{self, id, instant, text};
use super::sql;
use crate::{Deed, Inserted, Once, StoreError, StoredProviderKey};

pub(super) async fn insert(
    db: &mut PgConnection,
    stored: &StoredProviderKey,
    deed: &Deed,
) -> Result<Once<Inserted>, StoreError> {
    let key = &stored.key;
    let mut tx = match idempotency::open(db, deed).await? {
        Opened::Free(tx) => tx,
        Opened::Bound(bound) => return Ok(Once::AlreadyBound(bound)),
    };
    let inserted = sqlx::query(
        "INSERT INTO provider_keys
             (id, workspace, provider, label, hint, created_at, rotated_at, deleted_at, sealed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(key.id.to_string())
    .bind(key.workspace.to_string())
    .bind(text(&key.provider.0))
    .bind(text(&key.label))
    .bind(text(&key.hint))
    .bind(key.created_at.millis())
    .bind(key.rotated_at.map(UnixTime::millis))
    .bind(key.deleted_at.map(UnixTime::millis))
    .bind(stored.sealed.as_deref())
    .execute(&mut *tx)
    .await?;
    let inserted = row::inserted(&inserted);
    if inserted == Inserted::New {
        idempotency::close(tx, deed, &key.id.to_string()).await?;
    }
    Ok(Once::Done(inserted))
}

pub(super) async fn load(
    db: &mut PgConnection,
    key: ProviderKeyId,
) -> Result<Option<StoredProviderKey>, StoreError> {
    let found = sqlx::query(concat!(sql!("provider_keys/key"), "WHERE id = $1"))
        .bind(key.to_string())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(read).transpose()
}

pub(super) async fn list(
    db: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<ProviderKey>, StoreError> {
    let rows = sqlx::query(concat!(
        sql!("provider_keys/key"),
        "WHERE workspace = $1 ORDER BY id"
    ))
    .bind(workspace.to_string())
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok(read(row)?.key)).collect()
}

pub(super) async fn rotate(
    db: &mut PgConnection,
    key: ProviderKeyId,
    sealed: &[u8],
    hint: &str,
    now: UnixTime,
    deed: &Deed,
) -> Result<Once<Option<ProviderKey>>, StoreError> {
    let mut tx = match idempotency::open(db, deed).await? {
        Opened::Free(tx) => tx,
        Opened::Bound(bound) => return Ok(Once::AlreadyBound(bound)),
    };
    let rotated = sqlx::query(
        "UPDATE provider_keys SET sealed = $2, hint = $3, rotated_at = $4
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(key.to_string())
    .bind(sealed)
    .bind(text(hint))
    .bind(now.millis())
    .execute(&mut *tx)
    .await?;
    if rotated.rows_affected() == 0 {
        return Ok(Once::Done(None));
    }
    let rotated = load(&mut tx, key).await?.map(|stored| stored.key);
    idempotency::close(tx, deed, &key.to_string()).await?;
    Ok(Once::Done(rotated))
}

pub(super) async fn delete(
    db: &mut PgConnection,
    key: ProviderKeyId,
    now: UnixTime,
    deed: &Deed,
) -> Result<Option<ProviderKey>, StoreError> {
    let mut tx = begin(db, &[]).await?;
    let deleted = sqlx::query(
        "UPDATE provider_keys SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(key.to_string())
    .bind(now.millis())
    .execute(&mut *tx)
    .await?;
    let key_now = load(&mut tx, key).await?.map(|stored| stored.key);
    if deleted.rows_affected() > 0 {
        idempotency::close(tx, deed, &key.to_string()).await?;
    }
    Ok(key_now)
}

fn read(row: &PgRow) -> Result<StoredProviderKey, StoreError> {
    let at = |column: usize| -> Result<Option<UnixTime>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(instant))
    };
    Ok(StoredProviderKey {
        key: ProviderKey {
            id: id("a provider key's id", row.try_get(0)?)?,
            workspace: id("a provider key's workspace", row.try_get(1)?)?,
            provider: ProviderName(row.try_get(2)?),
            label: row.try_get(3)?,
            hint: row.try_get(4)?,
            created_at: instant(row.try_get(5)?),
            rotated_at: at(6)?,
            deleted_at: at(7)?,
        },
        sealed: row.try_get(8)?,
    })
}
