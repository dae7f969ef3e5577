//! What needs no key: health, readiness and the documents.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::Shared;
use crate::error::{ApiError, ErrorBody};

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the process is alive
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses((status = 200, description = "It is", body = Health)),
)]
pub(crate) async fn health() -> Response {
    ok()
}

/// Whether store, assets and engine work
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "They do", body = Health),
        (status = 503, description = "Not now", body = ErrorBody),
    ),
)]
pub(crate) async fn ready(State(api): State<Shared>) -> Result<Response, ApiError> {
    let not_ready = |what: &'static str, error: &(dyn std::error::Error + 'static)| {
        tracing::warn!(error, "the server is not ready: {what}");
        ApiError::overloaded("the server is not ready")
    };
    if api.stop.is_cancelled() {
        return Err(ApiError::overloaded("the server is shutting down"));
    }
    if !api.engine.is_working() {
        tracing::error!("the server is not ready: the engine's loop has ended");
        return Err(ApiError::overloaded("the server is not ready"));
    }
    api.engine
        .store()
        .ping()
        .await
        .map_err(|error| not_ready("store", &error))?;
    api.engine
        .assets()
        .ping()
        .await
        .map_err(|error| not_ready("assets", &error))?;
    Ok(ok())
}

fn ok() -> Response {
    (
        [(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        Json(Health { status: "ok" }),
    )
        .into_response()
}

/// `/openapi.json`, the page that shows it, and `/llms.txt`.
pub(crate) fn documents(openapi: OpenApi) -> Router<Shared> {
    let text: Bytes = serde_json::to_vec(&openapi)
        .expect("the contract is plain data")
        .into();
    let text = Arc::new(text);
    let json = move || {
        let text = Bytes::clone(&text);
        async move { document("application/json", text) }
    };
    let brief = || async {
        document(
            "text/plain; charset=utf-8",
            Bytes::from_static(include_bytes!("llms.txt")),
        )
    };
    let page = SwaggerUi::new("/docs").config(Config::new(["/openapi.json"]));
    Router::new()
        .route("/openapi.json", get(json))
        .route("/llms.txt", get(brief))
        .merge(page)
}

fn document(kind: &'static str, text: Bytes) -> Response {
    (
        [
            (CONTENT_TYPE, HeaderValue::from_static(kind)),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        text,
    )
        .into_response()
}
