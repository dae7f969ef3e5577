//! A job's history: at most one line per commit.

use filmgate_core::id::VideoId;
use filmgate_core::job::TimelineEntry;
use rusqlite::{Connection, params};

use super::row::instant;
use crate::StoreError;

pub(super) fn append(
    db: &Connection,
    job: &str,
    version: i64,
    entry: &TimelineEntry,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO timeline (job, version, at, cause, actor, from_state, to_state, attempt, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        job,
        version,
        entry.at.millis(),
        entry.cause,
        entry.actor,
        entry.from,
        entry.to,
        entry.attempt,
        entry.detail,
    ])?;
    Ok(())
}

pub(super) fn of_job(db: &Connection, job: VideoId) -> Result<Vec<TimelineEntry>, StoreError> {
    let entries = db
        .prepare_cached(
            "SELECT at, cause, actor, from_state, to_state, attempt, detail
             FROM timeline WHERE job = ?1 ORDER BY version",
        )?
        .query_map([job.to_string()], |row| {
            Ok(TimelineEntry {
                at: instant(row.get(0)?),
                cause: row.get(1)?,
                actor: row.get(2)?,
                from: row.get(3)?,
                to: row.get(4)?,
                attempt: row.get(5)?,
                detail: row.get(6)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(entries)
}
