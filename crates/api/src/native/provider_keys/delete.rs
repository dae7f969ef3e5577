//! `DELETE /v1/provider-keys/{provider_key_id}`: ends a workspace's own credential.

use axum::extract::State;
use axum::response::Response;

use super::NamedProviderKey;
use super::view::ProviderKeyView;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;

/// Delete a provider key
///
/// It takes no new jobs. Those that are pinned to it go on with it until their fate is known; then its secret is wiped.
#[utoipa::path(
    delete,
    path = "/{provider_key_id}",
    operation_id = "delete_provider_key",
    tag = "provider keys",
    security(("bearer" = [])),
    params(("provider_key_id" = String, Path, description = "`pkey_` and 26 characters")),
    responses(
        (status = 200, description = "The provider key, deleted", body = ProviderKeyView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such provider key", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn delete(
    State(api): State<Shared>,
    admin: Admin,
    NamedProviderKey(key): NamedProviderKey,
    arrival: Arrival,
) -> Result<Response, ApiError> {
    let operator = admin.operator(arrival, "provider_keys.delete");
    let deleted = api.engine.delete_provider_key(&key, &operator).await?;
    Ok(json(ProviderKeyView::from(deleted)))
}
