//! `DELETE /v1/videos/{video_id}`: removes what a video is and was made from; ledger and audit stay.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::id::VideoId;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::Shared;
use crate::auth::Member;
use crate::error::{ApiError, ErrorBody};
use crate::native::Named;

/// A video that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedVideo {
    id: String,
    /// Always `video.deleted`.
    object: &'static str,
    deleted: bool,
}

impl DeletedVideo {
    pub(crate) fn of(id: VideoId) -> Self {
        Self {
            id: id.to_string(),
            object: "video.deleted",
            deleted: true,
        }
    }

    /// One line of JSON.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("an id is plain data")
    }
}

/// Delete a video
///
/// Bytes, prompt, inputs and metadata are removed; afterwards the id answers 404 with the reason `video_deleted`.
#[utoipa::path(
    delete,
    path = "/{video_id}",
    operation_id = "delete_video",
    tag = "videos",
    security(("bearer" = [])),
    params(("video_id" = String, Path, description = "`video_` and 26 characters")),
    responses(
        (status = 200, description = "It is gone", body = DeletedVideo),
        (status = 400, description = "It is not terminal: `video_delete_requires_terminal_status`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key's role is not enough", body = ErrorBody),
        (status = 404, description = "No such video in this workspace, or it was deleted", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn delete(
    State(api): State<Shared>,
    Member(key): Member,
    Named(id): Named,
) -> Result<Response, ApiError> {
    api.engine.delete(key.workspace, id).await?;
    Ok(json(DeletedVideo::of(id)))
}
