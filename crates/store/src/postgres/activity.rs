//! Settled jobs, one row each, and what they add up to.
//!
//! A row is written in the statement that moves the money, with the money that moves; so sums over rows are sums over
//! postings.

use std::borrow::Cow;

use filmgate_core::calendar::Day;
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::Status;
use serde::Serialize;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{QueryBuilder, Row};

use super::connections::begin_report;
use super::row::{amount, corrupt, count, id, instant, page, stored, text, text_if_any};
use crate::transitions::Gain;
use crate::{ActivityRow, Dimension, Page, StoreError, UsageFilter, UsageRow};

/// What a job's row gains, as a statement takes it.
#[derive(Debug, Serialize)]
pub(super) struct GainRow<'a> {
    provider: Option<Cow<'a, str>>,
    status: &'static str,
    reason: &'static str,
    outputs: i64,
    output_ms: i64,
    user_cost: i64,
    provider_cost: i64,
}

impl<'a> GainRow<'a> {
    pub(super) fn of(gain: &Gain<'a>) -> Self {
        Self {
            provider: text_if_any(gain.provider),
            status: gain.status.as_str(),
            reason: gain.reason.as_str(),
            outputs: stored(gain.outputs),
            output_ms: stored(gain.output_ms),
            user_cost: gain.user_cost.0,
            provider_cost: gain.provider_cost.0,
        }
    }
}

/// Appends the rows a filter means. What is not asked for is not in it, so that the planner sees which index will do.
fn push_meant(question: &mut QueryBuilder<Postgres>, filter: &UsageFilter) {
    question
        .push(" WHERE activity.at >= ")
        .push_bind(filter.from.millis())
        .push(" AND activity.at < ")
        .push_bind(filter.until.millis());
    for (column, value) in [
        ("workspace", filter.workspace.map(|it| it.to_string())),
        ("key", filter.key.map(|it| it.to_string())),
        ("model", filter.model.clone()),
        ("provider", filter.provider.clone()),
    ] {
        if let Some(value) = value {
            question
                .push(format_args!(" AND activity.{column} = "))
                .push_bind(text(&value).into_owned());
        }
    }
}

impl Dimension {
    /// As SQL: words of ours, never a client's.
    const fn column(self) -> &'static str {
        match self {
            Self::Day => "activity.at / 86400000",
            Self::Workspace => "activity.workspace",
            Self::Key => "activity.key",
            Self::Model => "activity.model",
            Self::Provider => "activity.provider",
        }
    }
}

pub(super) async fn usage(
    db: &mut PgConnection,
    filter: &UsageFilter,
    by: &[Dimension],
    limit: u32,
) -> Result<Page<UsageRow>, StoreError> {
    let mut question = QueryBuilder::new(
        "SELECT count(*), coalesce(sum(outputs), 0)::bigint, coalesce(sum(output_ms), 0)::bigint,
             coalesce(sum(user_cost), 0)::bigint, coalesce(sum(provider_cost), 0)::bigint",
    );
    for dimension in by {
        question.push(", ").push(dimension.column());
    }
    question.push(" FROM activity");
    push_meant(&mut question, filter);
    if !by.is_empty() {
        let groups: Vec<&str> = by.iter().map(|dimension| dimension.column()).collect();
        let groups = groups.join(", ");
        question.push(format_args!(" GROUP BY {groups} ORDER BY {groups}"));
    }
    question.push(" LIMIT ").push_bind(i64::from(limit) + 1);
    let mut report = begin_report(db).await?;
    let rows = question.build().fetch_all(&mut *report).await?;
    let sums = rows
        .iter()
        .map(|row| read_sums(row, by))
        .collect::<Result<_, _>>()?;
    Ok(page(sums, limit))
}

fn read_sums(row: &PgRow, by: &[Dimension]) -> Result<UsageRow, StoreError> {
    let mut sums = UsageRow {
        jobs: count("a count of jobs", row.try_get(0)?)?,
        outputs: count("a count of outputs", row.try_get(1)?)?,
        output_ms: count("a length of outputs", row.try_get(2)?)?,
        user_cost: amount("a sum of charges", row.try_get(3)?)?,
        provider_cost: amount("a sum of costs", row.try_get(4)?)?,
        ..UsageRow::default()
    };
    for (column, dimension) in (5..).zip(by) {
        match dimension {
            Dimension::Day => sums.day = Some(Day::of_number(row.try_get(column)?)),
            Dimension::Workspace => sums.workspace = Some(id("a workspace", row.try_get(column)?)?),
            Dimension::Key => sums.key = Some(id("a key", row.try_get(column)?)?),
            Dimension::Model => sums.model = Some(row.try_get(column)?),
            Dimension::Provider => sums.provider = Some(row.try_get(column)?),
        }
    }
    Ok(sums)
}

pub(super) async fn list(
    db: &mut PgConnection,
    filter: &UsageFilter,
    after: Option<VideoId>,
    limit: u32,
) -> Result<Page<ActivityRow>, StoreError> {
    // A row keeps its place for ever, so the page may be read after it.
    let behind = match after {
        Some(video) => Some((place_of(&mut *db, video).await?, video.to_string())),
        None => None,
    };
    let mut question = QueryBuilder::new(
        "SELECT jobs.id, jobs.generation, jobs.created_at, activity.at, activity.workspace, activity.key,
             activity.model, activity.provider, activity.status, activity.reason, activity.outputs,
             activity.output_ms, activity.user_cost, activity.provider_cost
         FROM activity JOIN jobs ON jobs.id = activity.job",
    );
    push_meant(&mut question, filter);
    if let Some((at, job)) = behind {
        question
            .push(" AND (activity.at, activity.job) < (")
            .push_bind(at)
            .push(", ")
            .push_bind(job)
            .push(")");
    }
    question
        .push(" ORDER BY activity.at DESC, activity.job DESC LIMIT ")
        .push_bind(i64::from(limit) + 1);
    let rows = question.build().fetch_all(db).await?;
    let settled = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(page(settled, limit))
}

pub(super) async fn has(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    video: VideoId,
) -> Result<bool, StoreError> {
    let has = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM activity WHERE job = $1 AND workspace = $2)",
    )
    .bind(video.to_string())
    .bind(workspace.to_string())
    .fetch_one(db)
    .await?;
    Ok(has)
}

async fn place_of(db: &mut PgConnection, video: VideoId) -> Result<i64, StoreError> {
    let place = sqlx::query_scalar("SELECT at FROM activity WHERE job = $1")
        .bind(video.to_string())
        .fetch_optional(db)
        .await?;
    place.ok_or_else(|| corrupt("a page", format!("nothing is known of {video}")))
}

fn read(row: &PgRow) -> Result<ActivityRow, StoreError> {
    let status: &str = row.try_get(8)?;
    Ok(ActivityRow {
        job: id("a job's id", row.try_get(0)?)?,
        generation: id("a job's audit id", row.try_get(1)?)?,
        created_at: instant(row.try_get(2)?),
        at: instant(row.try_get(3)?),
        workspace: id("a job's workspace", row.try_get(4)?)?,
        key: id("a job's key", row.try_get(5)?)?,
        model: row.try_get(6)?,
        provider: row.try_get(7)?,
        status: Status::parse(status).ok_or_else(|| corrupt("a status", status))?,
        reason: row.try_get(9)?,
        outputs: count("a count of outputs", row.try_get(10)?)?,
        output_ms: count("a length of outputs", row.try_get(11)?)?,
        user_cost: amount("a charge", row.try_get(12)?)?,
        provider_cost: amount("a cost", row.try_get(13)?)?,
    })
}
