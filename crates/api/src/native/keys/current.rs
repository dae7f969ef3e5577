//! `GET /v1/key`: the key that asks.

use axum::extract::State;
use axum::response::Response;

use super::view::KeyView;
use crate::Shared;
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;

/// Get this key
///
/// Its role, its limits, and how far they are used.
#[utoipa::path(
    get,
    path = "/v1/key",
    operation_id = "get_current_key",
    tag = "keys",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The key that was sent, without its text", body = KeyView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn current(
    State(api): State<Shared>,
    Reader(key): Reader,
) -> Result<Response, ApiError> {
    Ok(json(KeyView::of(&api, key).await?))
}
