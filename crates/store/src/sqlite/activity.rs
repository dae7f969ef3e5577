//! Settled jobs, one row each, and what they add up to.
//!
//! A row is written in the transaction that moves the money, with the money that moves; so sums over rows are sums
//! over postings.

use filmgate_core::calendar::Day;
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Status, Transition};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::row::{amount, corrupt, count, id, instant, page, stored};
use super::sql;
use crate::transitions::Gain;
use crate::{ActivityRow, Dimension, Page, StoreError, UsageFilter, UsageRow};

/// What the job's row says of a job whose money moves.
pub(super) struct Settled {
    seq: i64,
    pub(super) workspace: String,
    pub(super) key: String,
    model: String,
    /// The provider that is shown; the latest attempt's, where there is one, is the one that was paid.
    provider: String,
}

impl Settled {
    /// From a row of seq, workspace, key, model and provider.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            seq: row.get(0)?,
            workspace: row.get(1)?,
            key: row.get(2)?,
            model: row.get(3)?,
            provider: row.get(4)?,
        })
    }
}

/// Adds what `transition` moved. Nothing where it neither completed the job nor moved money for good.
pub(super) fn add(
    db: &Connection,
    job: &Settled,
    transition: &Transition,
    at: UnixTime,
) -> Result<(), StoreError> {
    let Some(gain) = Gain::of(transition) else {
        return Ok(());
    };
    db.prepare_cached(sql!("activity/add"))?.execute(params![
        job.seq,
        at.millis(),
        job.workspace,
        job.key,
        job.model,
        gain.provider.unwrap_or(&job.provider),
        gain.status.as_str(),
        gain.reason.as_str(),
        stored(gain.outputs),
        stored(gain.output_ms),
        gain.user_cost.0,
        gain.provider_cost.0,
    ])?;
    Ok(())
}

/// The rows a filter means, as SQL. What is not asked for is not in it, so that the planner sees which part of the
/// table will do.
struct Meant<'a> {
    clause: String,
    values: Vec<&'a dyn ToSql>,
}

/// A filter's values in the form they are stored in.
struct Wanted {
    from: i64,
    until: i64,
    workspace: Option<String>,
    key: Option<String>,
    model: Option<String>,
    provider: Option<String>,
}

impl From<&UsageFilter> for Wanted {
    fn from(filter: &UsageFilter) -> Self {
        Self {
            from: filter.from.millis(),
            until: filter.until.millis(),
            workspace: filter.workspace.map(|workspace| workspace.to_string()),
            key: filter.key.map(|key| key.to_string()),
            model: filter.model.clone(),
            provider: filter.provider.clone(),
        }
    }
}

impl Wanted {
    fn meant(&self) -> Meant<'_> {
        let mut clause = "activity.at >= ? AND activity.at < ?".to_owned();
        let mut values: Vec<&dyn ToSql> = vec![&self.from, &self.until];
        for (column, value) in [
            ("workspace", &self.workspace),
            ("key", &self.key),
            ("model", &self.model),
            ("provider", &self.provider),
        ] {
            if let Some(value) = value {
                clause.push_str(&format!(" AND activity.{column} = ?"));
                values.push(value);
            }
        }
        Meant { clause, values }
    }
}

impl Dimension {
    /// As SQL: words of ours, never a client's.
    const fn expression(self) -> &'static str {
        match self {
            Self::Day => "activity.at / 86400000",
            Self::Workspace => "activity.workspace",
            Self::Key => "activity.key",
            Self::Model => "activity.model",
            Self::Provider => "activity.provider",
        }
    }
}

pub(super) fn usage(
    db: &Connection,
    filter: &UsageFilter,
    by: &[Dimension],
    limit: u32,
) -> Result<Page<UsageRow>, StoreError> {
    let mut columns = vec![
        "count(*)",
        "coalesce(sum(outputs), 0)",
        "coalesce(sum(output_ms), 0)",
        "coalesce(sum(user_cost), 0)",
        "coalesce(sum(provider_cost), 0)",
    ];
    columns.extend(by.iter().map(|dimension| dimension.expression()));
    let wanted = Wanted::from(filter);
    let Meant { clause, mut values } = wanted.meant();
    let mut question = format!("SELECT {} FROM activity WHERE {clause}", columns.join(", "));
    if !by.is_empty() {
        let groups = columns[5..].join(", ");
        question.push_str(&format!(" GROUP BY {groups} ORDER BY {groups}"));
    }
    question.push_str(" LIMIT ?");
    let most = i64::from(limit) + 1;
    values.push(&most);
    let mut question = db.prepare_cached(&question)?;
    let mut rows = question.query(&values[..])?;
    let mut sums = Vec::new();
    while let Some(row) = rows.next()? {
        sums.push(read_sums(row, by)?);
    }
    Ok(page(sums, limit))
}

fn read_sums(row: &Row<'_>, by: &[Dimension]) -> Result<UsageRow, StoreError> {
    let mut sums = UsageRow {
        jobs: count("a count of jobs", row.get(0)?)?,
        outputs: count("a count of outputs", row.get(1)?)?,
        output_ms: count("a length of outputs", row.get(2)?)?,
        user_cost: amount("a sum of charges", row.get(3)?)?,
        provider_cost: amount("a sum of costs", row.get(4)?)?,
        ..UsageRow::default()
    };
    for (column, dimension) in (5..).zip(by) {
        match dimension {
            Dimension::Day => sums.day = Some(Day::of_number(row.get(column)?)),
            Dimension::Workspace => {
                sums.workspace = Some(id("a workspace", &row.get::<_, String>(column)?)?);
            }
            Dimension::Key => sums.key = Some(id("a key", &row.get::<_, String>(column)?)?),
            Dimension::Model => sums.model = Some(row.get(column)?),
            Dimension::Provider => sums.provider = Some(row.get(column)?),
        }
    }
    Ok(sums)
}

pub(super) fn list(
    db: &Connection,
    filter: &UsageFilter,
    after: Option<VideoId>,
    limit: u32,
) -> Result<Page<ActivityRow>, StoreError> {
    let snapshot = db.unchecked_transaction()?;
    let wanted = Wanted::from(filter);
    let Meant {
        mut clause,
        mut values,
    } = wanted.meant();
    let behind = after.map(|video| place_of(&snapshot, video)).transpose()?;
    if let Some((at, job)) = &behind {
        clause.push_str(" AND (activity.at, activity.job) < (?, ?)");
        values.extend([at as &dyn ToSql, job]);
    }
    let most = i64::from(limit) + 1;
    values.push(&most);
    let mut question = snapshot.prepare_cached(&format!(
        "SELECT jobs.id, jobs.generation, jobs.created_at, activity.at, activity.workspace, activity.key,
             activity.model, activity.provider, activity.status, activity.reason, activity.outputs,
             activity.output_ms, activity.user_cost, activity.provider_cost
         FROM activity CROSS JOIN jobs ON jobs.seq = activity.job
         WHERE {clause} ORDER BY activity.at DESC, activity.job DESC LIMIT ?"
    ))?;
    let mut rows = question.query(&values[..])?;
    let mut settled = Vec::new();
    while let Some(row) = rows.next()? {
        settled.push(read(row)?);
    }
    Ok(page(settled, limit))
}

pub(super) fn has(
    db: &Connection,
    workspace: WorkspaceId,
    video: VideoId,
) -> Result<bool, StoreError> {
    let found = db
        .prepare_cached(
            "SELECT 1 FROM activity JOIN jobs ON jobs.seq = activity.job
             WHERE jobs.id = ?1 AND activity.workspace = ?2",
        )?
        .query_row(
            params![video.to_string(), workspace.to_string()],
            |_| Ok(()),
        )
        .optional()?;
    Ok(found.is_some())
}

fn place_of(db: &Connection, video: VideoId) -> Result<(i64, i64), StoreError> {
    let place = db
        .prepare_cached(
            "SELECT activity.at, activity.job FROM activity JOIN jobs ON jobs.seq = activity.job
             WHERE jobs.id = ?1",
        )?
        .query_row([video.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    place.ok_or_else(|| corrupt("a page", format!("nothing is known of {video}")))
}

fn read(row: &Row<'_>) -> Result<ActivityRow, StoreError> {
    let text = |column: usize| row.get::<_, String>(column);
    let status = text(8)?;
    Ok(ActivityRow {
        job: id("a job's id", &text(0)?)?,
        generation: id("a job's audit id", &text(1)?)?,
        created_at: instant(row.get(2)?),
        at: instant(row.get(3)?),
        workspace: id("a job's workspace", &text(4)?)?,
        key: id("a job's key", &text(5)?)?,
        model: text(6)?,
        provider: text(7)?,
        status: Status::parse(&status).ok_or_else(|| corrupt("a status", status))?,
        reason: text(9)?,
        outputs: count("a count of outputs", row.get(10)?)?,
        output_ms: count("a length of outputs", row.get(11)?)?,
        user_cost: amount("a charge", row.get(12)?)?,
        provider_cost: amount("a cost", row.get(13)?)?,
    })
}
