//! What each key's jobs have under way and have spent, kept in the transactions that change it.

use filmgate_core::key::KeyStanding;
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{amount, corrupt, count, instant, stored};
use super::sql;
use crate::StoreError;

/// Zero for a key that never made a job.
pub(super) fn find(db: &Connection, key: &str) -> Result<KeyStanding, StoreError> {
    let found: Option<[i64; 4]> = db
        .prepare_cached(
            "SELECT in_flight, held, captured, counted_from FROM key_standings WHERE key = ?1",
        )?
        .query_row([key], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })
        .optional()?;
    let Some([in_flight, held, captured, counted_from]) = found else {
        return Ok(KeyStanding::default());
    };
    Ok(KeyStanding {
        in_flight: count("a key's jobs", in_flight)?,
        held: amount("what a key holds", held)?,
        captured: amount("what a key has spent", captured)?,
        counted_from: instant(counted_from),
    })
}

pub(super) fn keep(db: &Connection, key: &str, standing: KeyStanding) -> Result<(), StoreError> {
    db.prepare_cached(sql!("keys/keep_standing"))?
        .execute(params![
            key,
            stored(standing.in_flight),
            standing.held.get(),
            standing.captured.get(),
            standing.counted_from.millis(),
        ])?;
    Ok(())
}

/// Counts what was captured since `period_start`, from the settled jobs.
pub(super) fn count_anew(
    db: &Connection,
    key: &str,
    period_start: UnixTime,
) -> Result<(), StoreError> {
    let captured: i64 = db
        .prepare_cached(
            "SELECT coalesce(sum(user_cost), 0) FROM activity WHERE key = ?1 AND at >= ?2",
        )?
        .query_row(params![key, period_start.millis()], |row| row.get(0))?;
    let standing = KeyStanding {
        captured: amount("what a key has spent", captured)?,
        counted_from: period_start,
        ..find(db, key)?
    };
    keep(db, key, standing)
}

/// What a hold or its end does to what is held.
pub(super) fn moved(held: Nanos, by: Delta) -> Result<Nanos, StoreError> {
    held.get()
        .checked_add(by.0)
        .and_then(Nanos::new)
        .ok_or_else(|| corrupt("what a key holds", format!("{held} and {by}")))
}
