//! `/v1/admin/jobs`: work that is parked, for operators to see, to give back, to end.
//!
//! Not here: why and for how long a job is parked, and what ending it does to money (`engine::parking`, `core::job`).

use axum::extract::{FromRequestParts, Path, State};
use axum::response::Response;
use filmgate_core::id::VideoId;
use filmgate_store::ParkedJob;
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::keys::terms::workspace_id;
use super::videos::json;
use super::view::StatusWord;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::paging::{self, page_of};
use crate::query::Query;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(unpark))
        .routes(routes!(end))
}

/// The job in the path. The caller's role is judged before it; what is no id names nothing, so it is not parked.
pub(crate) struct NamedJob(VideoId);

impl FromRequestParts<Shared> for NamedJob {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, api)
            .await
            .map_err(|_| ApiError::not_parked())?;
        text.parse().map(Self).map_err(|_| ApiError::not_parked())
    }
}

page_of! {
    /// A page of parked jobs, oldest first.
    pub(crate) ParkedJobPage: ParkedJobView
}

/// A job that nobody works on until an operator says so, or its time is over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedJobView {
    /// The video's id.
    id: String,
    /// Always `parked_job`.
    object: &'static str,
    workspace_id: String,
    model: String,
    /// The account at a provider that it runs on, or was to be submitted on.
    account: String,
    /// As its owner sees it; once it is ended, what it has come to.
    status: StatusWord,
    created_at: i64,
    parked_at: i64,
    /// Why, for people.
    reason: String,
    /// When it is ended all the same.
    until: i64,
}

impl From<ParkedJob> for ParkedJobView {
    fn from(parked: ParkedJob) -> Self {
        Self {
            id: parked.job.to_string(),
            object: "parked_job",
            workspace_id: parked.workspace.to_string(),
            model: parked.model,
            account: parked.account.0,
            status: parked.status.into(),
            created_at: parked.created_at.seconds(),
            parked_at: parked.parked_at.seconds(),
            reason: parked.reason,
            until: parked.until.seconds(),
        }
    }
}

/// List parked jobs
///
/// Jobs that were taken out of everybody's work because whoever worked on them died again and again.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "list_parked_jobs",
    tag = "operations",
    security(("bearer" = [])),
    params(
        ("workspace_id" = Option<String>, Query, description = "the jobs of this workspace alone"),
        ("limit" = Option<u32>, Query, description = "jobs on a page, 1 to 200; 50 by default"),
        ("after" = Option<String>, Query, description = "continue behind this job, whether it is still parked or not"),
    ),
    responses(
        (status = 200, description = "A page", body = ParkedJobPage),
        (status = 400, description = "A parameter does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    Admin(_caller): Admin,
    query: Query,
) -> Result<Response, ApiError> {
    let workspace = query.last("workspace_id").map(workspace_id).transpose()?;
    let after = query.last("after").map(|text| {
        text.parse()
            .map_err(|error| ApiError::bad_id("after", &error))
    });
    let limit = paging::limit(&query)?;
    let page = api
        .engine
        .parked(workspace, after.transpose()?, limit)
        .await?;
    let id = |parked: &ParkedJob| parked.job.to_string();
    Ok(json(ParkedJobPage::of(page, id, ParkedJobView::from)))
}

/// Give a parked job back to work
///
/// It is due at once, and what happened to those who worked on it before is forgotten.
#[utoipa::path(
    post,
    path = "/{video_id}/unpark",
    operation_id = "unpark_job",
    tag = "operations",
    security(("bearer" = [])),
    params(("video_id" = String, Path, description = "`video_` and 26 characters")),
    responses(
        (status = 200, description = "What it was parked for", body = ParkedJobView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "No such job is parked: `job_not_parked`", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn unpark(
    State(api): State<Shared>,
    admin: Admin,
    NamedJob(id): NamedJob,
    arrival: Arrival,
) -> Result<Response, ApiError> {
    let operator = admin.operator(arrival, "jobs.unpark");
    let unparked = api.engine.unpark(id, &operator).await?;
    Ok(json(ParkedJobView::from(unparked)))
}

/// End a parked job
///
/// Its provider is not asked any more and its hold is released: where the job may have reached a provider,
/// `billing.provider_may_have_charged` is true. A job that had not ended becomes `failed`.
#[utoipa::path(
    post,
    path = "/{video_id}/end",
    operation_id = "end_job",
    tag = "operations",
    security(("bearer" = [])),
    params(("video_id" = String, Path, description = "`video_` and 26 characters")),
    responses(
        (status = 200, description = "What it was parked for, with the status it has come to", body = ParkedJobView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "No such job is parked: `job_not_parked`", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn end(
    State(api): State<Shared>,
    admin: Admin,
    NamedJob(id): NamedJob,
    arrival: Arrival,
) -> Result<Response, ApiError> {
    let operator = admin.operator(arrival, "jobs.end");
    let ended = api.engine.end_parked(id, &operator).await?;
    Ok(json(ParkedJobView::from(ended)))
}
