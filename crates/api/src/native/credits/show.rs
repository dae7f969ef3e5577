//! `GET /v1/credits`: what a workspace has.

use axum::extract::State;
use axum::response::Response;

use super::Credits;
use crate::Shared;
use crate::auth::{Reader, workspace_of};
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;
use crate::query::Query;

/// Get the funds
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_credits",
    tag = "money",
    security(("bearer" = [])),
    params(("workspace_id" = Option<String>, Query, description = "another workspace than the key's own; admins only")),
    responses(
        (status = 200, description = "The funds now", body = Credits),
        (status = 400, description = "`workspace_id` is not an id", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 404, description = "There is no such workspace, or this key may not look at it", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(api): State<Shared>,
    Reader(key): Reader,
    query: Query,
) -> Result<Response, ApiError> {
    let workspace = workspace_of(&api, &key, query.last("workspace_id")).await?;
    let balances = api.engine.store().balances(workspace).await?;
    Ok(json(Credits::of(workspace, balances)))
}
