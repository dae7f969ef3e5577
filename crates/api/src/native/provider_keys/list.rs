//! `GET /v1/provider-keys`: a workspace's own credentials.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::ProviderKeyView;
use crate::Shared;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::keys::terms::workspace_id;
use crate::native::videos::json;
use crate::query::Query;

/// A workspace's provider keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderKeyList {
    /// Always `list`.
    object: &'static str,
    data: Vec<ProviderKeyView>,
    has_more: bool,
}

/// List provider keys
#[utoipa::path(
    get,
    path = "/",
    operation_id = "list_provider_keys",
    tag = "provider keys",
    security(("bearer" = [])),
    params(("workspace_id" = Option<String>, Query, description = "whose they are; the caller's own workspace by default")),
    responses(
        (status = 200, description = "All of the workspace's, deleted ones included", body = ProviderKeyList),
        (status = 400, description = "`workspace_id` is not an id", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    Admin(caller): Admin,
    query: Query,
) -> Result<Response, ApiError> {
    let named = query.last("workspace_id").map(workspace_id).transpose()?;
    let workspace = named.unwrap_or(caller.workspace);
    let keys = api.engine.store().provider_keys(workspace).await?;
    Ok(json(ProviderKeyList {
        object: "list",
        data: keys.into_iter().map(ProviderKeyView::from).collect(),
        has_more: false,
    }))
}
