//! `GET /v1/videos/{video_id}/timeline`: everything that happened to a video.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::job::{Attempt, TimelineEntry};
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::Shared;
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::native::{Named, the_job};

/// A video's history, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timeline {
    /// Always `list`.
    object: &'static str,
    data: Vec<Happening>,
    /// Submissions to providers, by number.
    attempts: Vec<AttemptView>,
    /// Always `false`: it comes whole.
    has_more: bool,
}

/// One transition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Happening {
    /// Always `video.transition`.
    object: &'static str,
    /// Unix seconds.
    at: i64,
    /// Unix milliseconds.
    at_ms: i64,
    /// The event, such as `submitted`.
    cause: String,
    /// `client:` or `operator:` and a key's id, `engine` or `provider`.
    actor: String,
    /// The state before; null for the first.
    #[schema(required)]
    from: Option<String>,
    /// The state after: `accepted`, `submitting`, `running`, `fetching`, `completed`, `failed`, `cancelled` or
    /// `expired`.
    to: String,
    /// Which attempt it concerns.
    #[schema(required)]
    attempt: Option<u32>,
    #[schema(required)]
    detail: Option<String>,
}

/// One submission to one provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    /// From 1.
    attempt: u32,
    provider: String,
    /// The provider's own id.
    #[schema(required)]
    native_video_id: Option<String>,
    submitted_at: i64,
    #[schema(required)]
    accepted_at: Option<i64>,
    #[schema(required)]
    ended_at: Option<i64>,
    /// `open`, `refused`, `absent`, `ambiguous`, `succeeded`, `failed` or `abandoned`.
    outcome: &'static str,
    /// As a job's `error.code`.
    #[schema(required)]
    error_code: Option<&'static str>,
    #[schema(required)]
    error_message: Option<String>,
    /// What the provider charges, in nano-dollars, once known.
    #[schema(required)]
    provider_cost_nanos: Option<i64>,
}

impl From<TimelineEntry> for Happening {
    fn from(entry: TimelineEntry) -> Self {
        Self {
            object: "video.transition",
            at: entry.at.seconds(),
            at_ms: entry.at.millis(),
            cause: entry.cause,
            actor: entry.actor,
            from: entry.from,
            to: entry.to,
            attempt: entry.attempt,
            detail: entry.detail,
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            attempt: attempt.number,
            provider: attempt.provider.0.clone(),
            native_video_id: attempt.native.as_ref().map(|native| native.0.clone()),
            submitted_at: attempt.submitted_at.seconds(),
            accepted_at: attempt.accepted_at.map(|at| at.seconds()),
            ended_at: attempt.ended_at.map(|at| at.seconds()),
            outcome: attempt.outcome.as_str(),
            error_code: attempt
                .failure
                .as_ref()
                .map(|failure| failure.code.as_str()),
            error_message: attempt
                .failure
                .as_ref()
                .map(|failure| failure.message.clone()),
            provider_cost_nanos: attempt.provider_cost.map(|cost| cost.get()),
        }
    }
}

/// Show a video's history
#[utoipa::path(
    get,
    path = "/{video_id}/timeline",
    operation_id = "get_video_timeline",
    tag = "videos",
    security(("bearer" = [])),
    params(("video_id" = String, Path, description = "`video_` and 26 characters")),
    responses(
        (status = 200, description = "Every transition and attempt", body = Timeline),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn timeline(
    State(api): State<Shared>,
    Reader(key): Reader,
    Named(id): Named,
) -> Result<Response, ApiError> {
    the_job(api.engine.find(key.workspace, id).await?)?;
    let store = api.engine.store();
    let (entries, attempts) = (store.timeline(id).await?, store.attempts(id).await?);
    Ok(json(Timeline {
        object: "list",
        data: entries.into_iter().map(Happening::from).collect(),
        attempts: attempts.iter().map(AttemptView::from).collect(),
        has_more: false,
    }))
}
