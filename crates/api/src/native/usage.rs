//! `GET /v1/usage`: what settled jobs add up to.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::key::Role;
use filmgate_core::money::Nanos;
use filmgate_store::{Dimension, UsageRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::spreadsheet;
use super::usage_filter::{self, Format};
use super::videos::json;
use super::view::seconds;
use crate::auth::{Reader, workspace_of};
use crate::error::{ApiError, ErrorBody};
use crate::query::Query;
use crate::request::shortened;
use crate::{Api, Shared};

/// More groups than this are no report.
const MOST_GROUPS: u32 = 10_000;

/// Sums over the jobs that were completed, charged or paid for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageReport {
    /// Always `usage`.
    object: &'static str,
    /// Always `usd`.
    currency: &'static str,
    /// The first instant that is counted.
    from: i64,
    /// The first instant that is no longer counted.
    to: i64,
    group_by: Vec<&'static str>,
    /// One row for each group that has any job, in the order of `group_by`; none where it is empty.
    data: Vec<UsageGroup>,
    total: UsageSums,
}

/// The sums of one group; of its marks, those that were asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageGroup {
    /// The UTC day on which the money moved, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    workspace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider: Option<String>,
    #[serde(flatten)]
    sums: UsageSums,
}

/// Sums over jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageSums {
    jobs: u64,
    /// Outputs that were delivered.
    outputs: u64,
    /// Seconds of all delivered outputs, as measured.
    seconds: f64,
    /// What was captured, in nano-dollars: the entries on `operator:revenue`.
    user_cost_nanos: i64,
    /// What the providers charged, in nano-dollars: the entries on `operator:provider_cost`.
    provider_cost_nanos: i64,
}

const WORDS: [(&str, Dimension); 5] = [
    ("day", Dimension::Day),
    ("model", Dimension::Model),
    ("provider", Dimension::Provider),
    ("key", Dimension::Key),
    ("workspace", Dimension::Workspace),
];

/// Add usage up
///
/// Sums over settled jobs, each counting on the UTC day its money moved. They equal the ledger's entries to the
/// nano-dollar.
#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "get_usage",
    tag = "money",
    security(("bearer" = [])),
    params(
        ("from" = Option<String>, Query, description = "a UTC day `YYYY-MM-DD`, or unix seconds, inclusive; the last 30 days by default"),
        ("to" = Option<String>, Query, description = "a UTC day, inclusive, or unix seconds, exclusive; now by default"),
        ("group_by" = Option<String>, Query, description = "any of `day`, `model`, `provider`, `key` and, for admins, `workspace`, repeated or with commas"),
        ("workspace_id" = Option<String>, Query, description = "another workspace than the key's own; admins only. Grouped by workspace and without it, all of them"),
        ("key_id" = Option<String>, Query, description = "the jobs of this key alone"),
        ("model" = Option<String>, Query, description = "a model's id or alias"),
        ("provider" = Option<String>, Query, description = "whoever ran the last attempt"),
        ("format" = Option<String>, Query, description = "`json` (the default) or `csv`"),
    ),
    responses(
        (status = 200, description = "The sums", content((UsageReport = "application/json"), (String = "text/csv"))),
        (status = 400, description = "A parameter does not hold what it may, or there are more than 10 000 groups", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "Only an admin may group by workspace", body = ErrorBody),
        (status = 404, description = "There is no such workspace, or this key may not look at it", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn usage(
    State(api): State<Shared>,
    Reader(key): Reader,
    query: Query,
) -> Result<Response, ApiError> {
    let by = group_by(&query)?;
    let everywhere = by
        .iter()
        .any(|(_, dimension)| *dimension == Dimension::Workspace);
    if everywhere && key.terms.role != Role::Admin {
        return Err(ApiError::forbidden(
            "grouping by workspace needs a key with the role admin",
        ));
    }
    let named = query.last("workspace_id");
    let workspace = match named {
        None if everywhere => None,
        _ => Some(workspace_of(&api, &key, named).await?),
    };
    let format = usage_filter::format(&query)?;
    let filter = usage_filter::read(&api, &query, workspace)?;
    let (from, to) = (filter.from.seconds(), filter.until.seconds());
    let dimensions: Vec<Dimension> = by.iter().map(|(_, dimension)| *dimension).collect();
    let rows = grouped(&api, filter, dimensions).await?;
    let group_by: Vec<&'static str> = by.iter().map(|(word, _)| *word).collect();
    if format == Format::Csv {
        return Ok(spreadsheet::file("usage.csv", table(&by, &rows)));
    }
    let total = UsageSums::of(&total(&rows)?);
    let data = match group_by.is_empty() {
        true => Vec::new(),
        false => rows.into_iter().map(UsageGroup::from).collect(),
    };
    Ok(json(UsageReport {
        object: "usage",
        currency: "usd",
        from,
        to,
        group_by,
        data,
        total,
    }))
}

async fn grouped(
    api: &Api,
    filter: filmgate_store::UsageFilter,
    by: Vec<Dimension>,
) -> Result<Vec<UsageRow>, ApiError> {
    let page = api.engine.store().usage(filter, by, MOST_GROUPS).await?;
    if page.has_more {
        return Err(ApiError::validation(
            "group_by",
            format!(
                "there are more than {MOST_GROUPS} groups; ask for fewer days or group by less"
            ),
        ));
    }
    Ok(page.rows)
}

fn group_by(query: &Query) -> Result<Vec<(&'static str, Dimension)>, ApiError> {
    let mut by = Vec::new();
    for sent in query.list("group_by") {
        let found = WORDS.into_iter().find(|(word, _)| *word == sent);
        let Some(found) = found else {
            let allowed = WORDS.map(|(word, _)| word).join(", ");
            return Err(ApiError::validation(
                "group_by",
                format!("{:?} was sent; allowed are {allowed}", shortened(&sent)),
            ));
        };
        if !by.contains(&found) {
            by.push(found);
        }
    }
    Ok(by)
}

/// The groups added up: the sums of one instant, so that they agree with the rows beside them.
fn total(rows: &[UsageRow]) -> Result<UsageRow, ApiError> {
    let add = |sum: Nanos, amount: Nanos| {
        sum.checked_add(amount).ok_or_else(|| {
            ApiError::validation("from", "the sum is beyond any amount; ask for fewer days")
        })
    };
    let mut total = UsageRow::default();
    for row in rows {
        total.jobs += row.jobs;
        total.outputs += row.outputs;
        total.output_ms += row.output_ms;
        total.user_cost = add(total.user_cost, row.user_cost)?;
        total.provider_cost = add(total.provider_cost, row.provider_cost)?;
    }
    Ok(total)
}

fn table(by: &[(&'static str, Dimension)], rows: &[UsageRow]) -> bytes::Bytes {
    let column = |(word, dimension): &(&str, Dimension)| match dimension {
        Dimension::Key | Dimension::Workspace => format!("{word}_id"),
        Dimension::Day | Dimension::Model | Dimension::Provider => (*word).to_owned(),
    };
    let mut head: Vec<String> = by.iter().map(column).collect();
    head.extend(
        [
            "jobs",
            "outputs",
            "seconds",
            "user_cost_nanos",
            "provider_cost_nanos",
        ]
        .map(str::to_owned),
    );
    let mut lines = vec![head];
    for row in rows {
        let mark = |(_, dimension): &(&str, Dimension)| match dimension {
            Dimension::Day => row.day.map(|day| day.to_string()),
            Dimension::Workspace => row.workspace.map(|workspace| workspace.to_string()),
            Dimension::Key => row.key.map(|key| key.to_string()),
            Dimension::Model => row.model.clone(),
            Dimension::Provider => row.provider.clone(),
        };
        let mut line: Vec<String> = by.iter().map(|by| mark(by).unwrap_or_default()).collect();
        line.extend([
            row.jobs.to_string(),
            row.outputs.to_string(),
            seconds(row.output_ms).to_string(),
            row.user_cost.get().to_string(),
            row.provider_cost.get().to_string(),
        ]);
        lines.push(line);
    }
    spreadsheet::lines(&lines)
}

impl UsageSums {
    fn of(row: &UsageRow) -> Self {
        Self {
            jobs: row.jobs,
            outputs: row.outputs,
            seconds: seconds(row.output_ms),
            user_cost_nanos: row.user_cost.get(),
            provider_cost_nanos: row.provider_cost.get(),
        }
    }
}

impl From<UsageRow> for UsageGroup {
    fn from(row: UsageRow) -> Self {
        Self {
            sums: UsageSums::of(&row),
            day: row.day.map(|day| day.to_string()),
            workspace_id: row.workspace.map(|workspace| workspace.to_string()),
            key_id: row.key.map(|key| key.to_string()),
            model: row.model,
            provider: row.provider,
        }
    }
}
