//! The native dialect: one file per endpoint, and `view`, which shows a job.

pub(crate) mod actions;
pub(crate) mod activity;
pub(crate) mod admin_jobs;
pub(crate) mod callbacks;
pub(crate) mod credits;
pub(crate) mod generations;
pub(crate) mod keys;
pub(crate) mod provider_keys;
pub(crate) mod providers;
pub(crate) mod spreadsheet;
pub(crate) mod usage;
pub(crate) mod usage_filter;
pub(crate) mod videos;
pub(crate) mod view;
pub(crate) mod workspaces;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use filmgate_core::id::VideoId;
use filmgate_core::job::Job;
use filmgate_core::request::ModelId;
use filmgate_engine::Made;
use filmgate_store::Found;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::error::ApiError;
use crate::{Api, Shared};

/// Jobs are stored under the model's id, whatever alias was sent.
pub(crate) fn model_id(api: &Api, name: &str) -> String {
    let name = ModelId(name.to_owned());
    match api.engine.catalogue().find(&name) {
        Some(model) => model.id.0.clone(),
        None => name.0,
    }
}

/// What a change has made under `code`, and whether an idempotency key had made it before.
pub(crate) fn made<New, Before>(
    code: StatusCode,
    result: &Made<New, Before>,
    view: impl Serialize,
) -> Response {
    let mut response = (code, videos::json(view)).into_response();
    if let Made::Replayed(_) = result {
        let replayed = HeaderName::from_static("idempotent-replayed");
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(replayed, yes);
    }
    response
}

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
