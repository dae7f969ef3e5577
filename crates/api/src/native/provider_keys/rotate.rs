//! `POST /v1/provider-keys/{provider_key_id}/rotate`: a new secret for a workspace's own credential.

use axum::extract::State;
use axum::response::Response;
use filmgate_engine::Made;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::ProviderKeyView;
use super::{NamedProviderKey, SecretText, secret};
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::made;
use crate::request::body::Json;

/// The new secret.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateProviderKey {
    /// Of the same account at the provider. Sealed, and never shown again.
    #[schema(required, nullable = false, value_type = Option<String>, max_length = 16384)]
    secret: Option<SecretText>,
}

/// Rotate a provider key
///
/// Jobs under way use the new secret from their next message to the provider on; the old one is gone. It must belong to the
/// same account at the provider, or jobs under way are not found there any more.
#[utoipa::path(
    post,
    path = "/{provider_key_id}/rotate",
    operation_id = "rotate_provider_key",
    tag = "provider keys",
    security(("bearer" = [])),
    params(
        ("provider_key_id" = String, Path, description = "`pkey_` and 26 characters"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours"),
    ),
    request_body = RotateProviderKey,
    responses(
        (status = 200, description = "The provider key, without its secret", body = ProviderKeyView, headers(
            ("idempotent-replayed" = String, description = "`true` where the Idempotency-Key rotated this provider key before"),
        )),
        (status = 400, description = "The secret is none, or the provider key was deleted: `provider_key_deleted`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such provider key", body = ErrorBody),
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
    NamedProviderKey(key): NamedProviderKey,
    arrival: Arrival,
    Json(body): Json<RotateProviderKey>,
) -> Result<Response, ApiError> {
    let secret = secret(body.secret)?;
    let operator = admin.operator(arrival, "provider_keys.rotate");
    let result = api
        .engine
        .rotate_provider_key(&key, &secret, &operator)
        .await?;
    let (Made::New(key) | Made::Replayed(key)) = &result;
    let view = ProviderKeyView::from(key.clone());
    Ok(made(StatusCode::OK, &result, view))
}
