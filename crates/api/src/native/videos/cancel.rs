//! `POST /v1/videos/{video_id}/cancel`: ends a video at once; what it costs may follow.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::shown;
use crate::Shared;
use crate::auth::Member;
use crate::error::{ApiError, ErrorBody};
use crate::native::Named;
use crate::native::view::VideoStatus;

/// Cancel a video
///
/// The status is `cancelled` at once and for ever; `billing` tells what that means for money. Cancelling twice is
/// answered the same.
#[utoipa::path(
    post,
    path = "/{video_id}/cancel",
    operation_id = "cancel_video",
    tag = "videos",
    security(("bearer" = [])),
    params(("video_id" = String, Path, description = "`video_` and 26 characters")),
    responses(
        (status = 200, description = "The video, cancelled", body = VideoStatus),
        (status = 400, description = "It is completed, failed or expired: `video_cancel_requires_non_terminal_status`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key's role is not enough", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn cancel(
    State(api): State<Shared>,
    Member(key): Member,
    Named(id): Named,
) -> Result<Response, ApiError> {
    let job = api.engine.cancel(key.workspace, id, key.id).await?;
    Ok(shown(&api, StatusCode::OK, &job))
}
