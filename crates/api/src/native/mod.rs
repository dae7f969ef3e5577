//! The native dialect: one file per endpoint, and `view`, which shows a job.

pub(crate) mod generations;
pub(crate) mod keys;
pub(crate) mod videos;
pub(crate) mod view;
pub(crate) mod workspaces;

use axum::extract::FromRequestParts;
use filmgate_core::id::VideoId;
use filmgate_core::job::Job;
use filmgate_store::Found;
use http::request::Parts;

use crate::Shared;
use crate::error::ApiError;

/// The id in the path. What is no id names nothing, so it is not found.
pub(crate) struct Named(pub(crate) VideoId);

impl FromRequestParts<Shared> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let axum::extract::Path(text) =
            axum::extract::Path::<String>::from_request_parts(parts, api)
                .await
                .map_err(|_| ApiError::no_video())?;
        text.parse().map(Self).map_err(|_| ApiError::no_video())
    }
}

/// The job, or why there is none.
pub(crate) fn the_job(found: Found) -> Result<Job, ApiError> {
    match found {
        Found::Job(job) => Ok(*job),
        Found::Deleted => Err(ApiError::video_deleted()),
        Found::Absent => Err(ApiError::no_video()),
    }
}
