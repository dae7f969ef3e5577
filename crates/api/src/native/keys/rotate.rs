//! `POST /v1/keys/{key_id}/rotate`: a new secret for a key, shown once.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use filmgate_engine::Made;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::NamedKey;
use super::view::KeyView;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::made;
use crate::request::body::OptionalJson;
use crate::request::fields::Whole;

/// Thirty days.
const LONGEST_OVERLAP: u64 = 30 * 86_400;

/// How the old secret ends.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateKey {
    /// Seconds for which the old secret works too, 0 to 2 592 000; 0 by default: it ends at once.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 2592000)]
    overlap_seconds: Option<Whole>,
}

/// Rotate a key
///
/// The key keeps its id, its terms and its jobs, and gets a new secret, which is in this answer and never shown again.
/// A secret before the old one ends at once.
#[utoipa::path(
    post,
    path = "/{key_id}/rotate",
    operation_id = "rotate_key",
    tag = "keys",
    security(("bearer" = [])),
    params(
        ("key_id" = String, Path, description = "`key_` and 26 characters"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours; the key's text is not shown again"),
    ),
    request_body(content = Option<RotateKey>),
    responses(
        (status = 200, description = "The key, with its new text", body = KeyView, headers(
            ("idempotent-replayed" = String, description = "`true` where the Idempotency-Key rotated this key before"),
        )),
        (status = 400, description = "A field does not hold what it may, or the key was revoked: `key_revoked`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn rotate(
    State(api): State<Shared>,
    admin: Admin,
    NamedKey(key): NamedKey,
    arrival: Arrival,
    OptionalJson(body): OptionalJson<RotateKey>,
) -> Result<Response, ApiError> {
    let overlap = match body.overlap_seconds {
        None => Duration::ZERO,
        Some(Whole(sent)) => u64::try_from(sent)
            .ok()
            .filter(|seconds| *seconds <= LONGEST_OVERLAP)
            .map(Duration::from_secs)
            .ok_or_else(|| {
                ApiError::validation(
                    "overlap_seconds",
                    format!(
                        "{sent} was sent; allowed are whole seconds from 0 to {LONGEST_OVERLAP}"
                    ),
                )
            })?,
    };
    let operator = admin.operator(arrival, "keys.rotate");
    let result = api.engine.rotate_key(&key, overlap, &operator).await?;
    let view = match &result {
        Made::New(new) => KeyView::of(&api, new.key.clone())
            .await?
            .with_text(new.text.expose()),
        Made::Replayed(key) => KeyView::of(&api, key.clone()).await?,
    };
    Ok(made(StatusCode::OK, &result, view))
}
