//! `/v1/keys`: who may call and what each may spend, for operators; `/v1/key`: the key at hand.

pub(crate) mod create;
pub(crate) mod current;
pub(crate) mod list;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod show;
pub(crate) mod terms;
pub(crate) mod update;
pub(crate) mod view;

use axum::extract::FromRequestParts;
use filmgate_core::key::Key;
use http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list::list))
        .routes(routes!(show::show, update::update, revoke::revoke))
        .routes(routes!(rotate::rotate))
}

/// The key in the path. The caller's role is judged before it.
pub(crate) struct NamedKey(pub(crate) Key);

impl FromRequestParts<Shared> for NamedKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let axum::extract::Path(text) =
            axum::extract::Path::<String>::from_request_parts(parts, api)
                .await
                .map_err(|_| ApiError::no_key())?;
        let id = text.parse().map_err(|_| ApiError::no_key())?;
        let found = api.engine.store().load_key(id).await?;
        found.map(Self).ok_or_else(ApiError::no_key)
    }
}
