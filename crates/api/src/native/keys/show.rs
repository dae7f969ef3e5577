//! `GET /v1/keys/{key_id}`: one key.

use axum::extract::State;
use axum::response::Response;

use super::NamedKey;
use super::view::KeyView;
use crate::Shared;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;

/// Get a key
#[utoipa::path(
    get,
    path = "/{key_id}",
    operation_id = "get_key",
    tag = "keys",
    security(("bearer" = [])),
    params(("key_id" = String, Path, description = "`key_` and 26 characters")),
    responses(
        (status = 200, description = "The key, without its text", body = KeyView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(api): State<Shared>,
    Admin(_caller): Admin,
    NamedKey(key): NamedKey,
) -> Result<Response, ApiError> {
    Ok(json(KeyView::of(&api, key).await?))
}
