//! `GET /v1/videos`: a workspace's videos, a page at a time.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use filmgate_core::id::WorkspaceId;
use filmgate_core::job::{Job, Status};
use filmgate_core::time::UnixTime;
use filmgate_store::{Found, ListJobs, Order};

use super::{frame, json};
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::native::model_id;
use crate::native::view::VideoStatus;
use crate::paging::{self, page_of};
use crate::query::Query;
use crate::request::fields::LAST_SECOND;
use crate::request::shortened;
use crate::{Api, Shared};

/// Jobs are stored in the order of their ids only up to commits that are still under way.
const SETTLED: Duration = Duration::from_secs(5);

page_of! {
    /// A page of videos.
    pub(crate) VideoPage: VideoStatus
}

/// List videos
///
/// Newest first unless asked otherwise. An ascending list stops 5 seconds short of now.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "list_videos",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "videos on a page, 1 to 200; 50 by default"),
        ("after" = Option<String>, Query, description = "continue behind this video"),
        ("before" = Option<String>, Query, description = "the page that ends right before this video"),
        ("order" = Option<String>, Query, description = "`desc` (the default) or `asc`"),
        ("status" = Option<String>, Query, description = "one or several, repeated or with commas"),
        ("model" = Option<String>, Query, description = "a model's id or alias"),
        ("provider" = Option<String>, Query, description = "as the status shows it"),
        ("session_id" = Option<String>, Query, description = "as given at create"),
        ("created_after" = Option<i64>, Query, description = "unix seconds, inclusive"),
        ("created_before" = Option<i64>, Query, description = "unix seconds, inclusive"),
    ),
    responses(
        (status = 200, description = "A page", body = VideoPage),
        (status = 400, description = "A parameter does not hold what it may, or `after` or `before` is unknown", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    Reader(key): Reader,
    query: Query,
) -> Result<Response, ApiError> {
    let mut wanted = read(&api, key.workspace, &query)?;
    wanted.after = paging::known_video(&api, key.workspace, &query, "after").await?;
    wanted.before = paging::known_video(&api, key.workspace, &query, "before").await?;
    let page = api.engine.list(wanted).await?;
    let frame = frame(&api);
    let id = |job: &Job| job.admission.id.to_string();
    Ok(json(VideoPage::of(page, id, |job| {
        VideoStatus::of(&job, &frame)
    })))
}

fn read(api: &Api, workspace: WorkspaceId, query: &Query) -> Result<ListJobs, ApiError> {
    let order = paging::order(query)?;
    let mut created_until = query
        .number("created_before", 0, LAST_SECOND)?
        // Whole seconds: the second named is in it to its last millisecond.
        .map(|seconds| UnixTime::from_millis(seconds * 1000 + 999));
    if order == Order::OldestFirst {
        let settled = api.engine.now().minus(SETTLED);
        created_until = Some(created_until.map_or(settled, |until| until.min(settled)));
    }
    Ok(ListJobs {
        workspace,
        order,
        after: None,
        before: None,
        status: statuses(query)?,
        model: query.last("model").map(|name| model_id(api, name)),
        provider: query.last("provider").map(str::to_owned),
        session_id: query.last("session_id").map(str::to_owned),
        created_from: query
            .number("created_after", 0, LAST_SECOND)?
            .map(UnixTime::from_seconds),
        created_until,
        limit: paging::limit(query)?,
    })
}

fn statuses(query: &Query) -> Result<Vec<Status>, ApiError> {
    query
        .list("status")
        .iter()
        .map(|word| {
            Status::parse(word).ok_or_else(|| {
                ApiError::validation(
                    "status",
                    format!(
                        "{:?} was sent; allowed are {}",
                        shortened(word),
                        Status::ALL.map(Status::as_str).join(", ")
                    ),
                )
            })
        })
        .collect()
}

/// Whether an id leads anywhere a page can start from.
pub(crate) fn leads_somewhere(found: &Found) -> bool {
    match found {
        Found::Job(_) | Found::Deleted => true,
        Found::Absent => false,
    }
}
