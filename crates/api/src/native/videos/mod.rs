//! Everything under `/v1/videos`, and again under `/v1/video/generations`.

pub(crate) mod cancel;
pub(crate) mod content;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod download_url;
pub(crate) mod events;
pub(crate) mod follow;
pub(crate) mod inputs;
pub(crate) mod list;
pub(crate) mod models;
pub(crate) mod quote;
pub(crate) mod retry;
pub(crate) mod status;
pub(crate) mod timeline;
pub(crate) mod websocket;

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use filmgate_assets::signed_link::bucketed_expiry;
use filmgate_core::job::Job;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::{Frame, VideoStatus, poll_after_seconds};
use crate::error::ApiError;
use crate::{Api, Shared, origin};

/// The routes, relative to where they are nested.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(models::models))
        .routes(routes!(quote::quote))
        .routes(routes!(status::status, delete::delete))
        .routes(routes!(cancel::cancel))
        .routes(routes!(retry::retry))
        .routes(routes!(content::content))
        .routes(routes!(inputs::input))
        .routes(routes!(download_url::download_url))
        .routes(routes!(timeline::timeline))
        .routes(routes!(events::events))
}

/// What jobs are shown with at this moment.
pub(crate) fn frame(api: &Api) -> Frame<'_> {
    Frame {
        public_url: origin::public_url(api),
        keys: &api.link_keys,
        bucket: bucketed_expiry(api.engine.now()),
    }
}

/// The status object under `code`, with `Retry-After` while there is something to wait for.
pub(crate) fn shown(api: &Api, code: StatusCode, job: &Job) -> Response {
    let mut response = (code, Json(VideoStatus::of(job, &frame(api)))).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !job.life.status().is_terminal() {
        headers.insert(RETRY_AFTER, HeaderValue::from(poll_after_seconds(job)));
    }
    response
}

/// JSON that nobody keeps.
pub(crate) fn json<T: serde::Serialize>(body: T) -> Response {
    (
        [(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        Json(body),
    )
        .into_response()
}

/// Every video route is switched off at once.
pub(crate) async fn switched_off(_request: Request, _next: Next) -> ApiError {
    ApiError::switched_off()
}
