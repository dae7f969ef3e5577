//! Which stored objects the jobs name: what no row names is swept away by `assets`.

use rusqlite::{Connection, OptionalExtension, params};

use crate::StoreError;

pub(super) fn name<'a>(
    db: &Connection,
    job: &str,
    keys: impl Iterator<Item = &'a str>,
) -> Result<(), StoreError> {
    for key in keys {
        db.prepare_cached("INSERT INTO objects (key, job) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![key, job])?;
    }
    Ok(())
}

pub(super) fn forget<'a>(
    db: &Connection,
    job: &str,
    keys: impl Iterator<Item = &'a str>,
) -> Result<(), StoreError> {
    for key in keys {
        db.prepare_cached("DELETE FROM objects WHERE key = ?1 AND job = ?2")?
            .execute(params![key, job])?;
    }
    Ok(())
}

/// Those of `keys` that some job names.
pub(super) fn known(db: &Connection, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
    let mut question = db.prepare_cached("SELECT 1 FROM objects WHERE key = ?1 LIMIT 1")?;
    let mut known = Vec::new();
    for key in keys {
        if question.query_row([&key], |_| Ok(())).optional()?.is_some() {
            known.push(key);
        }
    }
    Ok(known)
}
