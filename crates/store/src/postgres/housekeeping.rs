//! Removing what is of no use any more, a few rows at a time, and whose turn that is.

use std::time::Duration;

use filmgate_core::time::UnixTime;
use sqlx::postgres::PgConnection;

use super::sql;
use crate::window::first_id;
use crate::{Prune, Pruned, StoreError};

pub(super) async fn begin_chore(
    db: &mut PgConnection,
    name: &str,
    now: UnixTime,
    every: Duration,
) -> Result<bool, StoreError> {
    let begun = sqlx::query(
        "INSERT INTO chores (name, begun_at) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at WHERE chores.begun_at <= $3",
    )
    .bind(name)
    .bind(now.millis())
    .bind(now.minus(every).millis())
    .execute(db)
    .await?;
    Ok(begun.rows_affected() == 1)
}

pub(super) async fn prune(db: &mut PgConnection, what: Prune) -> Result<Pruned, StoreError> {
    let limit = i64::from(what.limit);
    let bindings = sqlx::query(sql!("housekeeping/expired_bindings"))
        .bind(what.now.millis())
        .bind(limit)
        .execute(&mut *db)
        .await?;
    let history = first_id(what.history_before).to_string();
    let timeline = sqlx::query(sql!("housekeeping/old_timeline"))
        .bind(&history)
        .bind(limit)
        .execute(&mut *db)
        .await?;
    let outbox = sqlx::query(sql!("housekeeping/old_outbox"))
        .bind(&history)
        .bind(limit)
        .execute(&mut *db)
        .await?;
    let deleted_jobs = sqlx::query(sql!("housekeeping/empty_deleted"))
        .bind(first_id(what.deleted_before).to_string())
        .bind(limit)
        .execute(&mut *db)
        .await?;
    let provider_key_secrets = sqlx::query(sql!("provider_keys/wipe"))
        .bind(what.provider_keys_before.millis())
        .bind(limit)
        .execute(&mut *db)
        .await?;
    Ok(Pruned {
        bindings: bindings.rows_affected(),
        timeline: timeline.rows_affected(),
        outbox: outbox.rows_affected(),
        deleted_jobs: deleted_jobs.rows_affected(),
        provider_key_secrets: provider_key_secrets.rows_affected(),
    })
}
