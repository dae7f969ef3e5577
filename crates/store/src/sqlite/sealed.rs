//! Secrets, sealed by the caller: only bytes here.

use filmgate_core::time::UnixTime;
use rusqlite::{Connection, params};

use crate::StoreError;

/// Stores `sealed` unless something has that name; answers what has it now.
pub(super) fn keep(
    db: &Connection,
    name: &str,
    sealed: &[u8],
    now: UnixTime,
) -> Result<Vec<u8>, StoreError> {
    db.prepare_cached(
        "INSERT INTO sealed (name, sealed, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![name, sealed, now.millis()])?;
    Ok(db
        .prepare_cached("SELECT sealed FROM sealed WHERE name = ?1")?
        .query_row([name], |row| row.get(0))?)
}
