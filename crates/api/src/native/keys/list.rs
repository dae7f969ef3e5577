//! `GET /v1/keys`: all keys.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::terms::workspace_id;
use super::view::KeyView;
use crate::Shared;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;
use crate::query::Query;

/// All keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// Always `list`.
    object: &'static str,
    data: Vec<KeyView>,
    has_more: bool,
}

/// List keys
#[utoipa::path(
    get,
    path = "/",
    operation_id = "list_keys",
    tag = "keys",
    security(("bearer" = [])),
    params(("workspace_id" = Option<String>, Query, description = "the keys of this workspace alone")),
    responses(
        (status = 200, description = "All keys, revoked ones included", body = KeyList),
        (status = 400, description = "`workspace_id` is not an id", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    Admin(_caller): Admin,
    query: Query,
) -> Result<Response, ApiError> {
    let workspace = query.last("workspace_id").map(workspace_id).transpose()?;
    let mut data = Vec::new();
    for key in api.engine.store().keys(workspace).await? {
        data.push(KeyView::of(&api, key).await?);
    }
    Ok(json(KeyList {
        object: "list",
        data,
        has_more: false,
    }))
}
