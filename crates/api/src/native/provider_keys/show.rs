//! `GET /v1/provider-keys/{provider_key_id}`: one of a workspace's own credentials.

use axum::response::Response;

use super::NamedProviderKey;
use super::view::ProviderKeyView;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;

/// Get a provider key
#[utoipa::path(
    get,
    path = "/{provider_key_id}",
    operation_id = "get_provider_key",
    tag = "provider keys",
    security(("bearer" = [])),
    params(("provider_key_id" = String, Path, description = "`pkey_` and 26 characters")),
    responses(
        (status = 200, description = "The provider key, without its secret", body = ProviderKeyView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such provider key", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    Admin(_caller): Admin,
    NamedProviderKey(key): NamedProviderKey,
) -> Result<Response, ApiError> {
    Ok(json(ProviderKeyView::from(key)))
}
