//! Parked jobs: those that nobody works on until an operator says so, or their time is over.

use std::time::Duration;

use filmgate_core::action::Action;
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::Status;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;

use super::actions::ActionRow;
use super::row::{corrupt, id, instant, page, stored, text};
use super::sql;
use crate::{Page, ParkedJob, StoreError};

const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) async fn park(
    db: &mut PgConnection,
    video: VideoId,
    fence: u64,
    reason: &str,
    until: UnixTime,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let parked = sqlx::query(
        "UPDATE work SET parked_at = $4, parked_reason = $3, due_at = $5, lease_until = NULL, lease_by = NULL
         WHERE job = $1 AND fence = $2 AND due_at IS NOT NULL",
    )
    .bind(video.to_string())
    .bind(stored(fence))
    .bind(text(reason))
    .bind(now.millis())
    .bind(until.millis())
    .execute(db)
    .await?;
    Ok(parked.rows_affected() == 1)
}

/// It is due again when nobody alive will care; until then it is shown, and an operator may mend the row.
pub(super) async fn park_unreadable(
    db: &mut PgConnection,
    video: &str,
    reason: &str,
    now: UnixTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE work SET parked_at = $3, parked_reason = $2, due_at = $4, lease_until = NULL, lease_by = NULL
         WHERE job = $1",
    )
    .bind(video)
    .bind(text(reason))
    .bind(now.millis())
    .bind(now.plus(FOR_EVER).millis())
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn unpark(
    db: &mut PgConnection,
    video: VideoId,
    now: UnixTime,
    action: &Action,
) -> Result<Option<ParkedJob>, StoreError> {
    let Some(parked) = find(&mut *db, video).await? else {
        return Ok(None);
    };
    let freed = sqlx::query(sql!("parking/unpark"))
        .bind(video.to_string())
        .bind(now.millis())
        .bind(Json([ActionRow::of(action)]))
        .fetch_optional(db)
        .await?;
    Ok(freed.map(|_| parked))
}

pub(super) async fn find(
    db: &mut PgConnection,
    video: VideoId,
) -> Result<Option<ParkedJob>, StoreError> {
    let found = sqlx::query(sql!("parking/find"))
        .bind(video.to_string())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(read).transpose()
}

pub(super) async fn list(
    db: &mut PgConnection,
    workspace: Option<WorkspaceId>,
    after: Option<VideoId>,
    limit: u32,
) -> Result<Page<ParkedJob>, StoreError> {
    let rows = sqlx::query(sql!("parking/list"))
        .bind(workspace.map(|workspace| workspace.to_string()))
        .bind(after.map_or_else(String::new, |after| after.to_string()))
        .bind(i64::from(limit) + 1)
        .fetch_all(db)
        .await?;
    let parked = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(page(parked, limit))
}

fn read(row: &PgRow) -> Result<ParkedJob, StoreError> {
    let status: &str = row.try_get(4)?;
    Ok(ParkedJob {
        job: id("a parked job", row.try_get(0)?)?,
        workspace: id("a parked job's workspace", row.try_get(1)?)?,
        model: row.try_get(2)?,
        account: ProviderName(row.try_get(3)?),
        status: Status::parse(status).ok_or_else(|| corrupt("a job's status", status))?,
        created_at: instant(row.try_get(5)?),
        parked_at: instant(row.try_get(6)?),
        reason: row.try_get(7)?,
        until: instant(row.try_get(8)?),
    })
}
