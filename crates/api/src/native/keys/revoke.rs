//! `DELETE /v1/keys/{key_id}`: ends a key for ever.

use axum::extract::State;
use axum::response::Response;

use super::NamedKey;
use super::view::KeyView;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;

/// Revoke a key
///
/// Stops its calls at once and for ever; its jobs run on.
#[utoipa::path(
    delete,
    path = "/{key_id}",
    operation_id = "revoke_key",
    tag = "keys",
    security(("bearer" = [])),
    params(("key_id" = String, Path, description = "`key_` and 26 characters")),
    responses(
        (status = 200, description = "The key, revoked", body = KeyView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn revoke(
    State(api): State<Shared>,
    admin: Admin,
    NamedKey(key): NamedKey,
    arrival: Arrival,
) -> Result<Response, ApiError> {
    let operator = admin.operator(arrival, "keys.revoke");
    let revoked = api.engine.revoke_key(&key, &operator).await?;
    Ok(json(KeyView::of(&api, revoked).await?))
}
