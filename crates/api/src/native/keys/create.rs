//! `POST /v1/keys`: makes a key and shows it once.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::key::{KeyTerms, Role};
use filmgate_engine::Made;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::terms;
use super::view::KeyView;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::made;
use crate::request::body::Json;
use crate::request::fields::{Dollars, Whole};

/// A new key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// For people; 1 to 128 characters.
    #[schema(required, nullable = false, min_length = 1, max_length = 128)]
    name: Option<String>,
    /// `read`, `member` (the default) or `admin`.
    role: Option<String>,
    /// Whose key it is; the caller's own workspace by default.
    workspace_id: Option<String>,
    /// Dollars its jobs may hold and have captured since the last reset, as decimal text or as a number of at most 15
    /// digits; no limit by default.
    #[schema(value_type = Option<String>, example = "25.00")]
    limit: Option<Dollars>,
    /// `daily`, `weekly` (on Mondays) or `monthly`, at midnight UTC; never by default.
    limit_reset: Option<String>,
    /// Unix seconds; never by default.
    #[schema(value_type = Option<i64>)]
    expires_at: Option<Whole>,
    /// Made, but opens nothing until it is enabled.
    disabled: Option<bool>,
    /// The most jobs of its own that may be under way, 1 to 1 000 000; no limit by default.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000000)]
    max_in_flight: Option<Whole>,
}

/// Make a key
///
/// The whole key is in this answer and never shown again.
#[utoipa::path(
    post,
    path = "/",
    operation_id = "create_key",
    tag = "keys",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours; the key's text is not shown again")),
    request_body = CreateKey,
    responses(
        (status = 201, description = "The key, with its text", body = KeyView, headers(
            ("idempotent-replayed" = String, description = "`true` where the Idempotency-Key made this key before"),
        )),
        (status = 400, description = "A field does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(api): State<Shared>,
    admin: Admin,
    arrival: Arrival,
    Json(body): Json<CreateKey>,
) -> Result<Response, ApiError> {
    let terms = KeyTerms {
        name: terms::name(body.name.as_deref().unwrap_or_default())?,
        role: body.role.as_deref().map_or(Ok(Role::Member), terms::role)?,
        limit: body.limit.map(|limit| limit.0),
        limit_reset: body
            .limit_reset
            .as_deref()
            .map(terms::limit_reset)
            .transpose()?,
        expires_at: body
            .expires_at
            .map(|at| terms::expires_at(&api, at))
            .transpose()?,
        disabled: body.disabled.unwrap_or(false),
        max_in_flight: body.max_in_flight.map(terms::max_in_flight).transpose()?,
    };
    let workspace = match body.workspace_id.as_deref() {
        None => admin.0.workspace,
        Some(text) => terms::workspace_id(text)?,
    };
    let operator = admin.operator(arrival, "keys.create");
    let result = api.engine.create_key(workspace, terms, &operator).await?;
    let view = match &result {
        Made::New(new) => KeyView::of(&api, new.key.clone())
            .await?
            .with_text(new.text.expose()),
        Made::Replayed(key) => KeyView::of(&api, key.clone()).await?,
    };
    Ok(made(StatusCode::CREATED, &result, view))
}
