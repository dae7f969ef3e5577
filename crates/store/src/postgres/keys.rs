//! API keys, with what proves their secrets.

use filmgate_core::calendar::LimitReset;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{Key, KeyChange, KeyTerms, ResetWithoutLimit, Role};
use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::connections::{Guard, begin};
use super::idempotency::{self, Opened};
use super::row::{self, amount, corrupt, count, id, instant, text};
use super::{sql, standings};
use crate::{Deed, Inserted, Once, StoreError, StoredKey};

pub(super) async fn insert(
    db: &mut PgConnection,
    stored: &StoredKey,
    deed: &Deed,
) -> Result<Once<Inserted>, StoreError> {
    let (key, terms) = (&stored.key, &stored.key.terms);
    let mut tx = match idempotency::open(db, deed).await? {
        Opened::Free(tx) => tx,
        Opened::Bound(bound) => return Ok(Once::AlreadyBound(bound)),
    };
    let inserted = sqlx::query(sql!("keys/insert"))
        .bind(key.id.to_string())
        .bind(&key.kid)
        .bind(key.workspace.to_string())
        .bind(text(&terms.name))
        .bind(terms.role.as_str())
        .bind(key.created_at.millis())
        .bind(key.revoked_at.map(UnixTime::millis))
        .bind(terms.limit.map(Nanos::get))
        .bind(terms.limit_reset.map(LimitReset::as_str))
        .bind(terms.expires_at.map(UnixTime::millis))
        .bind(terms.disabled)
        .bind(terms.max_in_flight.map(i64::from))
        .bind(key.previous_until.map(UnixTime::millis))
        .bind(&stored.secret_sha256[..])
        .bind(stored.previous_sha256.as_ref().map(|digest| &digest[..]))
        .execute(&mut *tx)
        .await?;
    let inserted = row::inserted(&inserted);
    if inserted == Inserted::New {
        idempotency::close(tx, deed, &key.id.to_string()).await?;
    }
    Ok(Once::Done(inserted))
}

pub(super) async fn find(
    db: &mut PgConnection,
    kid: &str,
) -> Result<Option<StoredKey>, StoreError> {
    let found = sqlx::query(concat!(sql!("keys/key"), "WHERE kid = $1"))
        .bind(text(kid))
        .fetch_optional(db)
        .await?;
    found.as_ref().map(read).transpose()
}

pub(super) async fn load(db: &mut PgConnection, key: KeyId) -> Result<Option<Key>, StoreError> {
    let found = sqlx::query(concat!(sql!("keys/key"), "WHERE id = $1"))
        .bind(key.to_string())
        .fetch_optional(db)
        .await?;
    Ok(found
        .as_ref()
        .map(read)
        .transpose()?
        .map(|stored| stored.key))
}

pub(super) async fn list(
    db: &mut PgConnection,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<Key>, StoreError> {
    let rows = sqlx::query(concat!(
        sql!("keys/key"),
        "WHERE $1::text IS NULL OR workspace = $1 ORDER BY created_at, id"
    ))
    .bind(workspace.map(|workspace| workspace.to_string()))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok(read(row)?.key)).collect()
}

/// Creates of a key with limits wait for the change, and it for them.
pub(super) async fn change(
    db: &mut PgConnection,
    key: KeyId,
    change: &KeyChange,
    now: UnixTime,
    deed: &Deed,
) -> Result<Option<Result<Key, ResetWithoutLimit>>, StoreError> {
    let mut tx = begin(db, &[Guard::of_key(key)]).await?;
    let Some(before) = load(&mut tx, key).await? else {
        return Ok(None);
    };
    let terms = match before.terms.changed(change) {
        Ok(terms) => terms,
        Err(senseless) => return Ok(Some(Err(senseless))),
    };
    sqlx::query(
        "UPDATE keys SET name = $2, role = $3, limit_nanos = $4, limit_reset = $5, expires_at = $6, disabled = $7,
             max_in_flight = $8 WHERE id = $1",
    )
    .bind(key.to_string())
    .bind(text(&terms.name))
    .bind(terms.role.as_str())
    .bind(terms.limit.map(Nanos::get))
    .bind(terms.limit_reset.map(LimitReset::as_str))
    .bind(terms.expires_at.map(UnixTime::millis))
    .bind(terms.disabled)
    .bind(terms.max_in_flight.map(i64::from))
    .execute(&mut *tx)
    .await?;
    if terms.limit_reset != before.terms.limit_reset {
        let start = terms.period_start(now);
        standings::count_anew(&mut tx, key, before.workspace, terms.limit_reset, start).await?;
    }
    idempotency::close(tx, deed, &key.to_string()).await?;
    Ok(Some(Ok(Key { terms, ..before })))
}

pub(super) async fn rotate(
    db: &mut PgConnection,
    key: KeyId,
    secret_sha256: &[u8; 32],
    previous_until: UnixTime,
    deed: &Deed,
) -> Result<Once<Option<Key>>, StoreError> {
    let mut tx = match idempotency::open(db, deed).await? {
        Opened::Free(tx) => tx,
        Opened::Bound(bound) => return Ok(Once::AlreadyBound(bound)),
    };
    let rotated = sqlx::query(
        "UPDATE keys SET previous_sha256 = secret_sha256, previous_until = $3, secret_sha256 = $2
         WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(key.to_string())
    .bind(&secret_sha256[..])
    .bind(previous_until.millis())
    .execute(&mut *tx)
    .await?;
    if rotated.rows_affected() == 0 {
        return Ok(Once::Done(None));
    }
    let rotated = load(&mut tx, key).await?;
    idempotency::close(tx, deed, &key.to_string()).await?;
    Ok(Once::Done(rotated))
}

pub(super) async fn revoke(
    db: &mut PgConnection,
    key: KeyId,
    now: UnixTime,
    deed: &Deed,
) -> Result<Option<Key>, StoreError> {
    let mut tx = begin(db, &[]).await?;
    let revoked =
        sqlx::query("UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(key.to_string())
            .bind(now.millis())
            .execute(&mut *tx)
            .await?;
    let key_now = load(&mut tx, key).await?;
    if revoked.rows_affected() > 0 {
        idempotency::close(tx, deed, &key.to_string()).await?;
    }
    Ok(key_now)
}

/// The terms a new job of a key has to keep to, from a row's columns limit, reset and jobs in flight from `first` on.
/// `None` where nothing is limited.
pub(super) fn limits(row: &PgRow, first: usize) -> Result<Option<KeyTerms>, StoreError> {
    let terms = KeyTerms {
        limit: limit(row.try_get(first)?)?,
        limit_reset: reset(row.try_get(first + 1)?)?,
        max_in_flight: most(row.try_get(first + 2)?)?,
        ..KeyTerms::new(String::new(), Role::Member)
    };
    Ok((terms.limit.is_some() || terms.max_in_flight.is_some()).then_some(terms))
}

fn limit(nanos: Option<i64>) -> Result<Option<Nanos>, StoreError> {
    nanos
        .map(|nanos| amount("a key's limit", nanos))
        .transpose()
}

fn reset(word: Option<&str>) -> Result<Option<LimitReset>, StoreError> {
    word.map(|word| LimitReset::parse(word).ok_or_else(|| corrupt("a key's reset", word)))
        .transpose()
}

fn most(jobs: Option<i64>) -> Result<Option<u32>, StoreError> {
    jobs.map(|most| count("a key's jobs", most)).transpose()
}

fn read(row: &PgRow) -> Result<StoredKey, StoreError> {
    let at = |column: usize| -> Result<Option<UnixTime>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(instant))
    };
    let role: &str = row.try_get(4)?;
    let previous: Option<&[u8]> = row.try_get(14)?;
    Ok(StoredKey {
        key: Key {
            id: id("a key's id", row.try_get(0)?)?,
            kid: row.try_get(1)?,
            workspace: id("a key's workspace", row.try_get(2)?)?,
            terms: KeyTerms {
                name: row.try_get(3)?,
                role: Role::parse(role).ok_or_else(|| corrupt("a key's role", role))?,
                limit: limit(row.try_get(7)?)?,
                limit_reset: reset(row.try_get(8)?)?,
                expires_at: at(9)?,
                disabled: row.try_get(10)?,
                max_in_flight: most(row.try_get(11)?)?,
            },
            created_at: instant(row.try_get(5)?),
            revoked_at: at(6)?,
            previous_until: at(12)?,
        },
        secret_sha256: digest(row.try_get(13)?)?,
        previous_sha256: previous.map(digest).transpose()?,
    })
}

fn digest(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|error| corrupt("a secret's digest", error))
}
