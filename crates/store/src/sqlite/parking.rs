//! Parked jobs: those that nobody works on until an operator says so, or their time is over.

use std::time::Duration;

use filmgate_core::action::Action;
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::Status;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{corrupt, id, instant, page, stored};
use super::{actions, sql};
use crate::{Page, ParkedJob, StoreError};

const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) fn park(
    db: &Connection,
    video: VideoId,
    fence: u64,
    reason: &str,
    until: UnixTime,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let parked = db
        .prepare_cached(
            "UPDATE jobs SET parked_at = ?4, parked_reason = ?3, due_at = ?5, lease_until = NULL, lease_by = NULL
             WHERE id = ?1 AND fence = ?2 AND due_at IS NOT NULL",
        )?
        .execute(params![
            video.to_string(),
            stored(fence),
            reason,
            now.millis(),
            until.millis()
        ])?;
    Ok(parked == 1)
}

/// It is due again when nobody alive will care; until then it is shown, and an operator may mend the row.
pub(super) fn park_unreadable(
    db: &Connection,
    video: &str,
    reason: &str,
    now: UnixTime,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE jobs SET parked_at = ?3, parked_reason = ?2, due_at = ?4, lease_until = NULL, lease_by = NULL
         WHERE id = ?1",
    )?
    .execute(params![
        video,
        reason,
        now.millis(),
        now.plus(FOR_EVER).millis()
    ])?;
    Ok(())
}

/// The job is due at once, and whatever it did before is forgiven.
pub(super) fn unpark(
    db: &Connection,
    video: VideoId,
    now: UnixTime,
    action: &Action,
) -> Result<Option<ParkedJob>, StoreError> {
    let Some(parked) = find(db, video)? else {
        return Ok(None);
    };
    db.prepare_cached(
        "UPDATE jobs SET parked_at = NULL, parked_reason = NULL, strikes = 0, due_at = ?2 WHERE id = ?1",
    )?
    .execute(params![video.to_string(), now.millis()])?;
    actions::add(db, action)?;
    Ok(Some(parked))
}

pub(super) fn find(db: &Connection, video: VideoId) -> Result<Option<ParkedJob>, StoreError> {
    let found = db
        .prepare_cached(sql!("parking/find"))?
        .query_row([video.to_string()], read)
        .optional()?;
    found.transpose()
}

pub(super) fn list(
    db: &Connection,
    workspace: Option<WorkspaceId>,
    after: Option<VideoId>,
    limit: u32,
) -> Result<Page<ParkedJob>, StoreError> {
    let mut question = db.prepare_cached(sql!("parking/list"))?;
    let rows = question.query_map(
        params![
            workspace.map(|workspace| workspace.to_string()),
            after.map_or_else(String::new, |after| after.to_string()),
            i64::from(limit) + 1,
        ],
        read,
    )?;
    let parked = rows
        .map(|row| row?)
        .collect::<Result<Vec<ParkedJob>, StoreError>>()?;
    Ok(page(parked, limit))
}

fn read(row: &Row<'_>) -> Result<Result<ParkedJob, StoreError>, rusqlite::Error> {
    let job: String = row.get(0)?;
    let workspace: String = row.get(1)?;
    let status: String = row.get(4)?;
    let (model, account, reason) = (row.get(2)?, row.get(3)?, row.get(7)?);
    let [created_at, parked_at, until] = [row.get(5)?, row.get(6)?, row.get(8)?].map(instant);
    Ok((|| {
        Ok(ParkedJob {
            job: id("a parked job", &job)?,
            workspace: id("a parked job's workspace", &workspace)?,
            model,
            account: ProviderName(account),
            status: Status::parse(&status).ok_or_else(|| corrupt("a job's status", &status))?,
            created_at,
            parked_at,
            reason,
            until,
        })
    })())
}
