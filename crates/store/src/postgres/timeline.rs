//! A job's history: at most one line per commit.

use std::borrow::Cow;

use filmgate_core::id::VideoId;
use filmgate_core::job::TimelineEntry;
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::row::{count, instant, text, text_if_any};
use crate::StoreError;

/// A line as a statement takes it.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    at: i64,
    cause: Cow<'a, str>,
    actor: Cow<'a, str>,
    from_state: Option<Cow<'a, str>>,
    to_state: Cow<'a, str>,
    attempt: Option<u32>,
    detail: Option<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    pub(super) fn of(entry: &'a TimelineEntry) -> Self {
        Self {
            at: entry.at.millis(),
            cause: text(&entry.cause),
            actor: text(&entry.actor),
            from_state: text_if_any(entry.from.as_deref()),
            to_state: text(&entry.to),
            attempt: entry.attempt,
            detail: text_if_any(entry.detail.as_deref()),
        }
    }
}

pub(super) async fn of_job(
    db: &mut PgConnection,
    job: VideoId,
) -> Result<Vec<TimelineEntry>, StoreError> {
    let rows = sqlx::query(
        "SELECT at, cause, actor, from_state, to_state, attempt, detail
         FROM timeline WHERE job = $1 ORDER BY version",
    )
    .bind(job.to_string())
    .fetch_all(db)
    .await?;
    let read = |row: sqlx::postgres::PgRow| {
        let attempt: Option<i64> = row.try_get(5)?;
        Ok(TimelineEntry {
            at: instant(row.try_get(0)?),
            cause: row.try_get(1)?,
            actor: row.try_get(2)?,
            from: row.try_get(3)?,
            to: row.try_get(4)?,
            attempt: attempt
                .map(|number| count("an attempt's number", number))
                .transpose()?,
            detail: row.try_get(6)?,
        })
    };
    rows.into_iter().map(read).collect()
}
