//! `GET /v1/activity`: settled jobs, one row each.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use filmgate_core::id::VideoId;
use filmgate_core::job::ChargeReason;
use filmgate_store::{ActivityRow, StoreError, UsageFilter};
use futures::stream::{self, StreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::spreadsheet;
use super::usage_filter::{self, Format};
use super::videos::json;
use super::view::seconds;
use crate::auth::{Reader, workspace_of};
use crate::error::{ApiError, ErrorBody};
use crate::paging::{self, page_of};
use crate::query::Query;
use crate::request::shortened;
use crate::{Api, Shared};

/// CSV is sent in parts of so many rows.
const ROWS_A_PART: u32 = 1000;

page_of! {
    /// A page of settled jobs, the latest first.
    pub(crate) ActivityPage: Activity
}

/// A job that was completed, charged or paid for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Activity {
    /// Always `activity`.
    object: &'static str,
    video_id: String,
    generation_id: String,
    workspace_id: String,
    key_id: String,
    model: String,
    /// Whoever ran the last attempt.
    provider: String,
    status: String,
    /// As the video's `billing.charge_reason`.
    charge_reason: String,
    created_at: i64,
    /// When its money moved: it counts on this UTC day.
    billed_at: i64,
    outputs: u64,
    /// Seconds of all delivered outputs, as measured.
    seconds: f64,
    /// What was captured, in nano-dollars; null for an unpriced model.
    #[schema(required)]
    user_cost_nanos: Option<i64>,
    /// What the provider charged, in nano-dollars; null where its model has no price.
    #[schema(required)]
    provider_cost_nanos: Option<i64>,
}

/// List settled jobs
///
/// One row for each job that was completed, charged or paid for, the latest first; a deleted video's row stays. As CSV
/// everything that is asked for comes at once, unless `limit` is given.
#[utoipa::path(
    get,
    path = "/v1/activity",
    operation_id = "list_activity",
    tag = "money",
    security(("bearer" = [])),
    params(
        ("from" = Option<String>, Query, description = "a UTC day `YYYY-MM-DD`, or unix seconds, inclusive; the last 30 days by default"),
        ("to" = Option<String>, Query, description = "a UTC day, inclusive, or unix seconds, exclusive; now by default"),
        ("workspace_id" = Option<String>, Query, description = "another workspace than the key's own; admins only"),
        ("key_id" = Option<String>, Query, description = "the jobs of this key alone"),
        ("model" = Option<String>, Query, description = "a model's id or alias"),
        ("provider" = Option<String>, Query, description = "whoever ran the last attempt"),
        ("limit" = Option<u32>, Query, description = "rows on a page, 1 to 200; 50 by default"),
        ("after" = Option<String>, Query, description = "continue behind this video"),
        ("format" = Option<String>, Query, description = "`json` (the default) or `csv`"),
    ),
    responses(
        (status = 200, description = "A page, or the whole as CSV", content((ActivityPage = "application/json"), (String = "text/csv"))),
        (status = 400, description = "A parameter does not hold what it may, or `after` is unknown", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "There is no such workspace, or this key may not look at it", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn activity(
    State(api): State<Shared>,
    Reader(key): Reader,
    query: Query,
) -> Result<Response, ApiError> {
    let workspace = workspace_of(&api, &key, query.last("workspace_id")).await?;
    let format = usage_filter::format(&query)?;
    let filter = usage_filter::read(&api, &query, Some(workspace))?;
    let limit = paging::limit(&query)?;
    let after = match query.last("after") {
        None => None,
        Some(text) => Some(known(&api, &filter, text).await?),
    };
    if format == Format::Csv && query.last("limit").is_none() {
        return Ok(spreadsheet::file("activity.csv", whole(api, filter, after)));
    }
    let page = api.engine.store().activity(filter, after, limit).await?;
    if format == Format::Csv {
        let lines = std::iter::once(head()).chain(page.rows.into_iter().map(line));
        let lines: Vec<_> = lines.collect();
        return Ok(spreadsheet::file(
            "activity.csv",
            spreadsheet::lines(&lines),
        ));
    }
    let id = |row: &ActivityRow| row.job.to_string();
    Ok(json(ActivityPage::of(page, id, Activity::from)))
}

/// The job a page is to begin behind, which has to have a row.
async fn known(api: &Api, filter: &UsageFilter, text: &str) -> Result<VideoId, ApiError> {
    let unknown = || {
        ApiError::validation(
            "after",
            format!(
                "{:?} was sent; allowed is the video_id of a row of this workspace",
                shortened(text)
            ),
        )
    };
    let id = text.parse().map_err(|_| unknown())?;
    let known = match filter.workspace {
        Some(workspace) => api.engine.store().has_activity(workspace, id).await?,
        None => false,
    };
    known.then_some(id).ok_or_else(unknown)
}

/// Everything that is asked for, part by part, so that no report is held in memory whole. A store that fails in
/// between breaks the body off, which no client takes for the end.
fn whole(api: Shared, filter: UsageFilter, after: Option<VideoId>) -> Body {
    let header = stream::once(async { Ok::<_, StoreError>(spreadsheet::lines(&[head()])) });
    let parts = stream::try_unfold(Some(after), move |next| {
        let (api, filter) = (api.clone(), filter.clone());
        async move {
            let Some(after) = next else {
                return Ok(None);
            };
            let store = api.engine.store();
            let page = store.activity(filter, after, ROWS_A_PART).await?;
            let last = page.rows.last().map(|row| row.job);
            let next = last.filter(|_| page.has_more).map(Some);
            let lines: Vec<_> = page.rows.into_iter().map(line).collect();
            Ok::<_, StoreError>(Some((spreadsheet::lines(&lines), next)))
        }
    });
    Body::from_stream(header.chain(parts).map(|part| {
        part.inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "a report broke off"
            );
        })
    }))
}

const COLUMNS: [&str; 14] = [
    "video_id",
    "generation_id",
    "workspace_id",
    "key_id",
    "model",
    "provider",
    "status",
    "charge_reason",
    "created_at",
    "billed_at",
    "outputs",
    "seconds",
    "user_cost_nanos",
    "provider_cost_nanos",
];

fn head() -> [String; 14] {
    COLUMNS.map(str::to_owned)
}

fn line(row: ActivityRow) -> [String; 14] {
    let row = Activity::from(row);
    let number = |amount: Option<i64>| amount.map(|amount| amount.to_string()).unwrap_or_default();
    [
        row.video_id,
        row.generation_id,
        row.workspace_id,
        row.key_id,
        row.model,
        row.provider,
        row.status,
        row.charge_reason,
        row.created_at.to_string(),
        row.billed_at.to_string(),
        row.outputs.to_string(),
        row.seconds.to_string(),
        number(row.user_cost_nanos),
        number(row.provider_cost_nanos),
    ]
}

impl From<ActivityRow> for Activity {
    fn from(row: ActivityRow) -> Self {
        let unpriced = row.reason == ChargeReason::Unpriced.as_str();
        let cost = |cost: filmgate_core::money::Nanos| {
            (!(unpriced && cost.is_zero())).then_some(cost.get())
        };
        Self {
            object: "activity",
            video_id: row.job.to_string(),
            generation_id: row.generation.to_string(),
            workspace_id: row.workspace.to_string(),
            key_id: row.key.to_string(),
            model: row.model,
            provider: row.provider,
            status: row.status.as_str().to_owned(),
            created_at: row.created_at.seconds(),
            billed_at: row.at.seconds(),
            outputs: row.outputs,
            seconds: seconds(row.output_ms),
            user_cost_nanos: cost(row.user_cost),
            provider_cost_nanos: cost(row.provider_cost),
            charge_reason: row.reason,
        }
    }
}
