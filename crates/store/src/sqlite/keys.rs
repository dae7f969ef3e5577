//! API keys, with what proves their secrets.

use filmgate_core::calendar::LimitReset;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{Key, KeyChange, KeyTerms, ResetWithoutLimit, Role};
use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{amount, corrupt, count, id, instant};
use super::{actions, idempotency, sql, standings};
use crate::{Deed, Inserted, Once, StoreError, StoredKey};

const COLUMNS: &str =
    "id, kid, workspace, name, role, created_at, revoked_at, limit_nanos, limit_reset, expires_at,
    disabled, max_in_flight, previous_until, secret_sha256, previous_sha256";

pub(super) fn insert(
    db: &Connection,
    stored: &StoredKey,
    deed: &Deed,
) -> Result<Once<Inserted>, StoreError> {
    let (key, terms) = (&stored.key, &stored.key.terms);
    idempotency::once(db, deed, || {
        let rows = db.prepare_cached(sql!("keys/insert"))?.execute(params![
            key.id.to_string(),
            key.kid,
            key.workspace.to_string(),
            terms.name,
            terms.role.as_str(),
            key.created_at.millis(),
            key.revoked_at.map(UnixTime::millis),
            terms.limit.map(Nanos::get),
            terms.limit_reset.map(LimitReset::as_str),
            terms.expires_at.map(UnixTime::millis),
            terms.disabled,
            terms.max_in_flight,
            key.previous_until.map(UnixTime::millis),
            stored.secret_sha256,
            stored.previous_sha256,
        ])?;
        Ok((Inserted::by(rows), (rows > 0).then(|| key.id.to_string())))
    })
}

pub(super) fn find(db: &Connection, kid: &str) -> Result<Option<StoredKey>, StoreError> {
    read_one(db, "SELECT {} FROM keys WHERE kid = ?1", kid)
}

pub(super) fn load(db: &Connection, key: KeyId) -> Result<Option<Key>, StoreError> {
    let found = read_one(db, "SELECT {} FROM keys WHERE id = ?1", &key.to_string())?;
    Ok(found.map(|stored| stored.key))
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

pub(super) fn change(
    db: &Connection,
    key: KeyId,
    change: &KeyChange,
    now: UnixTime,
    deed: &Deed,
) -> Result<Option<Result<Key, ResetWithoutLimit>>, StoreError> {
    let Some(before) = load(db, key)? else {
        return Ok(None);
    };
    let terms = match before.terms.changed(change) {
        Ok(terms) => terms,
        Err(senseless) => return Ok(Some(Err(senseless))),
    };
    db.prepare_cached(
        "UPDATE keys SET name = ?2, role = ?3, limit_nanos = ?4, limit_reset = ?5, expires_at = ?6, disabled = ?7,
             max_in_flight = ?8 WHERE id = ?1",
    )?
    .execute(params![
        key.to_string(),
        terms.name,
        terms.role.as_str(),
        terms.limit.map(Nanos::get),
        terms.limit_reset.map(LimitReset::as_str),
        terms.expires_at.map(UnixTime::millis),
        terms.disabled,
        terms.max_in_flight,
    ])?;
    if terms.limit_reset != before.terms.limit_reset {
        standings::count_anew(db, &key.to_string(), terms.period_start(now))?;
    }
    actions::add(db, &deed.action)?;
    Ok(Some(Ok(Key { terms, ..before })))
}

pub(super) fn rotate(
    db: &Connection,
    key: KeyId,
    secret_sha256: &[u8; 32],
    previous_until: UnixTime,
    deed: &Deed,
) -> Result<Once<Option<Key>>, StoreError> {
    idempotency::once(db, deed, || {
        let rows = db
            .prepare_cached(
                "UPDATE keys SET previous_sha256 = secret_sha256, previous_until = ?3, secret_sha256 = ?2
                 WHERE id = ?1 AND revoked_at IS NULL",
            )?
            .execute(params![
                key.to_string(),
                secret_sha256,
                previous_until.millis()
            ])?;
        if rows == 0 {
            return Ok((None, None));
        }
        Ok((load(db, key)?, Some(key.to_string())))
    })
}

pub(super) fn revoke(
    db: &Connection,
    key: KeyId,
    now: UnixTime,
    deed: &Deed,
) -> Result<Option<Key>, StoreError> {
    let revoked = db
        .prepare_cached("UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![key.to_string(), now.millis()])?;
    if revoked > 0 {
        actions::add(db, &deed.action)?;
    }
    load(db, key)
}

/// The terms a new job of this key has to keep to.
pub(super) fn terms(db: &Connection, key: &str) -> Result<Option<KeyTerms>, StoreError> {
    let found = read_one(db, "SELECT {} FROM keys WHERE id = ?1", key)?;
    Ok(found.map(|stored| stored.key.terms))
}

/// How often what this key has captured begins to be counted anew.
pub(super) fn limit_reset(db: &Connection, key: &str) -> Result<Option<LimitReset>, StoreError> {
    let word: Option<Option<String>> = db
        .prepare_cached("SELECT limit_reset FROM keys WHERE id = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    word.flatten().map(reset).transpose()
}

fn read_one(db: &Connection, question: &str, by: &str) -> Result<Option<StoredKey>, StoreError> {
    let mut question = db.prepare_cached(&question.replace("{}", COLUMNS))?;
    let mut rows = question.query([by])?;
    rows.next()?.map(read).transpose()
}

fn reset(word: String) -> Result<LimitReset, StoreError> {
    LimitReset::parse(&word).ok_or_else(|| corrupt("a key's reset", word))
}

fn read(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    let text = |column: usize| row.get::<_, String>(column);
    let at = |column: usize| -> Result<Option<UnixTime>, StoreError> {
        Ok(row.get::<_, Option<i64>>(column)?.map(instant))
    };
    let role = text(4)?;
    let limit: Option<i64> = row.get(7)?;
    let limit_reset: Option<String> = row.get(8)?;
    let max_in_flight: Option<i64> = row.get(11)?;
    Ok(StoredKey {
        key: Key {
            id: id("a key's id", &text(0)?)?,
            kid: text(1)?,
            workspace: id("a key's workspace", &text(2)?)?,
            terms: KeyTerms {
                name: text(3)?,
                role: Role::parse(&role).ok_or_else(|| corrupt("a key's role", role))?,
                limit: limit
                    .map(|nanos| amount("a key's limit", nanos))
                    .transpose()?,
                limit_reset: limit_reset.map(reset).transpose()?,
                expires_at: at(9)?,
                disabled: row.get(10)?,
                max_in_flight: max_in_flight
                    .map(|most| count("a key's jobs", most))
                    .transpose()?,
            },
            created_at: instant(row.get(5)?),
            revoked_at: at(6)?,
            previous_until: at(12)?,
        },
        secret_sha256: row.get(13)?,
        previous_sha256: row.get(14)?,
    })
}
