//! `/v1/provider-keys`: workspaces' own credentials at providers, for operators. A secret is taken and never shown.

pub(crate) mod add;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod rotate;
pub(crate) mod show;
pub(crate) mod view;

use axum::extract::FromRequestParts;
use filmgate_core::provider::Secret;
use filmgate_core::provider_key::ProviderKey;
use http::request::Parts;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(add::add, list::list))
        .routes(routes!(show::show, delete::delete))
        .routes(routes!(rotate::rotate))
}

/// The provider key in the path. The caller's role is judged before it.
pub(crate) struct NamedProviderKey(pub(crate) ProviderKey);

impl FromRequestParts<Shared> for NamedProviderKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let axum::extract::Path(text) =
            axum::extract::Path::<String>::from_request_parts(parts, api)
                .await
                .map_err(|_| ApiError::no_provider_key())?;
        let id = text.parse().map_err(|_| ApiError::no_provider_key())?;
        let found = api.engine.store().load_provider_key(id).await?;
        found
            .map(|stored| Self(stored.key))
            .ok_or_else(ApiError::no_provider_key)
    }
}

/// A secret as it was sent. What is no text is refused without being repeated.
#[derive(Debug)]
pub(crate) struct SecretText(Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(Secret::new(text))),
            _ => Err(D::Error::custom("a text is allowed")),
        }
    }
}

/// The secret of a body, which must have one.
fn secret(sent: Option<SecretText>) -> Result<Secret, ApiError> {
    sent.map(|SecretText(secret)| secret).ok_or_else(|| {
        let needed = "nothing was sent; the provider's key is needed, as text";
        ApiError::validation("secret", needed)
    })
}
