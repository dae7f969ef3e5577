//! `POST /v1/videos/{video_id}/retry`: a new video of the same request.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::create::accepted;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Member;
use crate::error::{ApiError, ErrorBody};
use crate::native::Named;
use crate::native::view::VideoStatus;

/// Try a video again
///
/// Makes a new video, with a hold of its own, from one that failed, expired or was cancelled.
#[utoipa::path(
    post,
    path = "/{video_id}/retry",
    operation_id = "retry_video",
    tag = "videos",
    security(("bearer" = [])),
    params(
        ("video_id" = String, Path, description = "`video_` and 26 characters"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`, as at create"),
    ),
    responses(
        (status = 202, description = "The new job is stored; `retried_from` names the old one", body = VideoStatus),
        (status = 400, description = "It did not fail, expire or get cancelled: `video_retry_requires_unsuccessful_status`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 402, description = "The funds or `max_cost` do not cover it", body = ErrorBody),
        (status = 403, description = "The key's role is not enough", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body, or is in use right now", body = ErrorBody),
        (status = 410, description = "Retention has removed the inputs it was made from: `asset_expired`", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn retry(
    State(api): State<Shared>,
    member: Member,
    Named(id): Named,
    arrival: Arrival,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let from = arrival.through("videos.retry");
    let admitted = api.engine.retry(member.caller(), id, from).await?;
    Ok(accepted(&api, admitted, &headers).await)
}
