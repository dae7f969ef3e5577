//! `/v1/workspaces`: the owners of everything else, for operators.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::key::Workspace;
use filmgate_engine::Made;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::terms::name;
use super::made;
use super::videos::json;
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::request::body::Json;

/// A new workspace.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateWorkspace {
    /// Unique; 1 to 128 characters.
    #[schema(required, nullable = false, min_length = 1, max_length = 128)]
    name: Option<String>,
}

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkspaceView {
    id: String,
    /// Always `workspace`.
    object: &'static str,
    name: String,
    created_at: i64,
}

/// All workspaces, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkspaceList {
    /// Always `list`.
    object: &'static str,
    data: Vec<WorkspaceView>,
    has_more: bool,
}

impl From<Workspace> for WorkspaceView {
    fn from(workspace: Workspace) -> Self {
        Self {
            id: workspace.id.to_string(),
            object: "workspace",
            name: workspace.name,
            created_at: workspace.created_at.seconds(),
        }
    }
}

/// Make a workspace
#[utoipa::path(
    post,
    path = "/v1/workspaces",
    operation_id = "create_workspace",
    tag = "keys",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bound for 24 hours")),
    request_body = CreateWorkspace,
    responses(
        (status = 201, description = "The workspace", body = WorkspaceView, headers(
            ("idempotent-replayed" = String, description = "`true` where the Idempotency-Key made this workspace before"),
        )),
        (status = 400, description = "The name is missing, too long or taken", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 409, description = "The Idempotency-Key was used with another body", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(api): State<Shared>,
    admin: Admin,
    arrival: Arrival,
    Json(body): Json<CreateWorkspace>,
) -> Result<Response, ApiError> {
    let name = name(body.name.as_deref().unwrap_or_default())?;
    let operator = admin.operator(arrival, "workspaces.create");
    let result = api.engine.create_workspace(name, &operator).await?;
    let (Made::New(workspace) | Made::Replayed(workspace)) = result.clone();
    Ok(made(
        StatusCode::CREATED,
        &result,
        WorkspaceView::from(workspace),
    ))
}

/// Get a workspace
#[utoipa::path(
    get,
    path = "/v1/workspaces/{workspace_id}",
    operation_id = "get_workspace",
    tag = "keys",
    security(("bearer" = [])),
    params(("workspace_id" = String, Path, description = "`ws_` and 26 characters")),
    responses(
        (status = 200, description = "The workspace", body = WorkspaceView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such workspace", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(api): State<Shared>,
    Admin(_caller): Admin,
    axum::extract::Path(workspace_id): axum::extract::Path<String>,
) -> Result<Response, ApiError> {
    let id = workspace_id.parse().map_err(|_| ApiError::no_workspace())?;
    let found = api.engine.store().find_workspace(id).await?;
    let workspace = found.ok_or_else(ApiError::no_workspace)?;
    Ok(json(WorkspaceView::from(workspace)))
}

/// List workspaces
#[utoipa::path(
    get,
    path = "/v1/workspaces",
    operation_id = "list_workspaces",
    tag = "keys",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "All workspaces", body = WorkspaceList),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    Admin(_caller): Admin,
) -> Result<Response, ApiError> {
    let all = api.engine.store().workspaces().await?;
    Ok(json(WorkspaceList {
        object: "list",
        data: all.into_iter().map(WorkspaceView::from).collect(),
        has_more: false,
    }))
}
