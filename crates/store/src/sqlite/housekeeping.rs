//! Removing what is of no use any more, a few rows at a time, and whose turn that is.

use std::time::Duration;

use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::sql;
use crate::window::first_id;
use crate::{Prune, Pruned, StoreError};

pub(super) fn begin_chore(
    db: &Connection,
    name: &str,
    now: UnixTime,
    every: Duration,
) -> Result<bool, StoreError> {
    let begun = db
        .prepare_cached(
            "INSERT INTO chores (name, begun_at) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at WHERE begun_at <= ?3",
        )?
        .execute(params![name, now.millis(), now.minus(every).millis()])?;
    Ok(begun == 1)
}

pub(super) fn prune(db: &Connection, what: Prune) -> Result<Pruned, StoreError> {
    let remove = |question: &str, before: &dyn rusqlite::ToSql| -> Result<u64, StoreError> {
        let rows = db
            .prepare_cached(question)?
            .execute(params![before, what.limit])?;
        Ok(rows as u64)
    };
    let history = first_id(what.history_before).to_string();
    Ok(Pruned {
        bindings: remove(sql!("housekeeping/expired_bindings"), &what.now.millis())?,
        timeline: remove(sql!("housekeeping/old_timeline"), &history)?,
        outbox: remove(sql!("housekeeping/old_outbox"), &history)?,
        deleted_jobs: empty_deleted(db, what)?,
        provider_key_secrets: remove(
            sql!("provider_keys/wipe"),
            &what.provider_keys_before.millis(),
        )?,
    })
}

/// Of a job that was deleted long ago nothing is kept but its row, which says that it was, and what was paid for it.
fn empty_deleted(db: &Connection, what: Prune) -> Result<u64, StoreError> {
    let mut emptied = 0;
    while emptied < u64::from(what.limit) {
        let next: Option<(i64, String)> = db
            .prepare_cached(sql!("housekeeping/next_deleted"))?
            .query_row([first_id(what.deleted_before).to_string()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((seq, id)) = next else { break };
        db.prepare_cached("DELETE FROM admissions WHERE job = ?1")?
            .execute([seq])?;
        for question in [
            "DELETE FROM timeline WHERE job = ?1",
            "DELETE FROM outbox WHERE job = ?1",
            "DELETE FROM objects WHERE job = ?1",
            "UPDATE jobs SET life = '' WHERE id = ?1",
        ] {
            db.prepare_cached(question)?.execute([&id])?;
        }
        emptied += 1;
    }
    Ok(emptied)
}
