//! `POST /v1/provider-keys`: keeps a workspace's own credential.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::request::ProviderName;
use filmgate_engine::Made;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::ProviderKeyView;
use super::{SecretText, secret};
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::keys::terms::workspace_id;
use crate::native::made;
use crate::request::body::Json;

/// The longest label in characters.
const MOST_LABEL: usize = 128;

/// A workspace's own credential at a provider.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddProviderKey {
    /// The provider's name, as it is configured here.
    #[schema(required, nullable = false)]
    provider: Option<String>,
    /// What the provider gave the workspace: its key, or the file of a service account, as text. Sealed, and never shown
    /// again.
    #[schema(required, nullable = false, value_type = Option<String>, max_length = 16384)]
    secret: Option<SecretText>,
    /// For people; at most 128 characters, empty by default.
    #[schema(max_length = 128)]
    label: Option<String>,
    /// Whose credential it is; the caller's own workspace by default.
    workspace_id: Option<String>,
}

/// Add a provider key
///
/// From then on the workspace's jobs at this provider run on its own account there: the provider bills the workspace, and
/// nothing but the operator's fee is held and charged. Its jobs go to no provider for which it has no credential of its own,
/// unless `provider.only` or `provider.ignore` leaves none of those that it has one for.
#[utoipa::path(
    post,
    path = "/",
    operation_id = "add_provider_key",
    tag = "provider keys",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours")),
    request_body = AddProviderKey,
    responses(
        (status = 201, description = "The provider key, without its secret", body = ProviderKeyView, headers(
            ("idempotent-replayed" = String, description = "`true` where the Idempotency-Key added this provider key before"),
        )),
        (status = 400, description = "A field does not hold what it may, or the workspace has one for this provider: `provider_key_exists`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn add(
    State(api): State<Shared>,
    admin: Admin,
    arrival: Arrival,
    Json(body): Json<AddProviderKey>,
) -> Result<Response, ApiError> {
    let workspace = match body.workspace_id.as_deref() {
        None => admin.0.workspace,
        Some(text) => workspace_id(text)?,
    };
    let provider = ProviderName(body.provider.unwrap_or_default());
    let label = label(body.label.unwrap_or_default())?;
    let secret = secret(body.secret)?;
    let operator = admin.operator(arrival, "provider_keys.add");
    let result = api
        .engine
        .add_provider_key(workspace, provider, label, &secret, &operator)
        .await?;
    let (Made::New(key) | Made::Replayed(key)) = &result;
    let view = ProviderKeyView::from(key.clone());
    Ok(made(StatusCode::CREATED, &result, view))
}

fn label(sent: String) -> Result<String, ApiError> {
    let count = sent.chars().count();
    if count <= MOST_LABEL {
        return Ok(sent);
    }
    Err(ApiError::validation(
        "label",
        format!("{count} characters were sent; allowed are {MOST_LABEL} at most"),
    ))
}
