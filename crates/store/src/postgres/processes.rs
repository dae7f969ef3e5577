//! The processes that share the database, as far as one has to know that another is gone.
//!
//! Leases need none of this: they run out. An answer that was being written when its process died was lost, and only
//! that process could have said so.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::time::MissedTickBehavior;

use super::connections::Connections;
use super::sql;
use crate::StoreError;

/// A process that was not heard of for so long is gone, by the database's clock.
pub(super) const GONE_AFTER_SECONDS: f64 = 15.0;
/// Several times in that.
const BEAT_EVERY: Duration = Duration::from_secs(4);

/// A new process: told apart from all others, its own earlier lives included.
pub(super) async fn appear(db: &mut PgConnection) -> Result<String, StoreError> {
    let id = sqlx::query_scalar(
        "INSERT INTO processes (id, seen_at) VALUES (gen_random_uuid()::text, now()) RETURNING id",
    )
    .fetch_one(db)
    .await?;
    Ok(id)
}

/// Says that the process is alive.
pub(super) async fn beat(db: &mut PgConnection, process: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO processes (id, seen_at) VALUES ($1, now())
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
    )
    .bind(process)
    .execute(db)
    .await?;
    Ok(())
}

/// Takes those off the list that were not heard of for too long.
pub(super) async fn bury_the_gone(db: &mut PgConnection) -> Result<(), StoreError> {
    let gone: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM processes WHERE seen_at < now() - make_interval(secs => $1)",
    )
    .bind(GONE_AFTER_SECONDS)
    .fetch_all(&mut *db)
    .await?;
    for process in gone {
        bury(db, &process, false).await?;
    }
    Ok(())
}

/// Takes the process itself off the list: it gives no answer any more.
pub(super) async fn leave(db: &mut PgConnection, process: &str) -> Result<(), StoreError> {
    bury(db, process, true).await
}

async fn bury(db: &mut PgConnection, process: &str, leaves: bool) -> Result<(), StoreError> {
    sqlx::query(sql!("processes/bury"))
        .bind(process)
        .bind(leaves)
        .bind(GONE_AFTER_SECONDS)
        .execute(db)
        .await?;
    Ok(())
}

/// Beats until it is dropped. A beat that fails is made up for by the next one.
pub(super) async fn keep_beating(connections: Arc<Connections>, process: String) {
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let beaten = async {
            let mut db = connections.lend().await?;
            beat(&mut db, &process).await?;
            bury_the_gone(&mut db).await
        };
        if let Err(error) = beaten.await {
            tracing::warn!(%error, "other processes may soon take this one for dead");
        }
    }
}
