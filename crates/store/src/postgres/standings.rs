//! What each key's jobs have under way and have spent, kept in the transactions that change it.

use filmgate_core::calendar::LimitReset;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::KeyStanding;
use filmgate_core::time::UnixTime;
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::ledger::STRIPES;
use super::row::{amount, count, instant};
use super::sql;
use crate::StoreError;

/// Zero for a key that never made a job.
pub(super) async fn find(db: &mut PgConnection, key: KeyId) -> Result<KeyStanding, StoreError> {
    let found =
        sqlx::query("SELECT in_flight, held, captured, counted_from FROM standings WHERE key = $1")
            .bind(key.to_string())
            .fetch_optional(db)
            .await?;
    let standing = found.as_ref().map(|row| read(row, 0)).transpose()?;
    Ok(standing.flatten().unwrap_or_default())
}

/// From a row's four columns from `first` on, all NULL where the key never made a job.
pub(super) fn read(row: &PgRow, first: usize) -> Result<Option<KeyStanding>, StoreError> {
    let Some(in_flight) = row.try_get(first)? else {
        return Ok(None);
    };
    Ok(Some(KeyStanding {
        in_flight: count("a key's jobs", in_flight)?,
        held: amount("what a key holds", row.try_get(first + 1)?)?,
        captured: amount("what a key has spent", row.try_get(first + 2)?)?,
        counted_from: instant(row.try_get(first + 3)?),
    }))
}

/// When the period of each reset begins that `at` lies in. Which of them a key has is known where its row is written.
pub(super) fn periods(at: UnixTime) -> Map<String, Value> {
    LimitReset::ALL
        .into_iter()
        .map(|reset| {
            let start = reset.period(at).start.millis();
            (reset.as_str().to_owned(), Value::from(start))
        })
        .collect()
}

/// Counts what was captured since `period_start`, from the settled jobs, by the new `reset`. Until the transaction has
/// ended nobody else captures.
pub(super) async fn count_anew(
    db: &mut PgConnection,
    key: KeyId,
    workspace: WorkspaceId,
    reset: Option<LimitReset>,
    period_start: UnixTime,
) -> Result<(), StoreError> {
    sqlx::query(sql!("keys/lock_standings"))
        .bind(key.to_string())
        .bind(reset.map(LimitReset::as_str))
        .bind(STRIPES)
        .execute(&mut *db)
        .await?;
    sqlx::query(sql!("keys/count_anew"))
        .bind(key.to_string())
        .bind(workspace.to_string())
        .bind(period_start.millis())
        .execute(db)
        .await?;
    Ok(())
}
