//! `GET /v1/admin/actions`: what operators did to keys, workspaces, funds and stuck jobs.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::action::Action;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::keys::terms::workspace_id;
use super::videos::json;
use crate::Shared;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::paging::{self, page_of};
use crate::query::Query;

page_of! {
    /// A page of the log, newest first.
    pub(crate) ActionPage: ActionView
}

/// One line of the log: written with the change it tells of, and never changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActionView {
    id: String,
    /// Always `action`.
    object: &'static str,
    created_at: i64,
    /// `key.created`, `key.updated`, `key.rotated`, `key.revoked`, `provider_key.added`,
    /// `provider_key.rotated`, `provider_key.deleted`, `workspace.created`, `credits.posted`, `job.unparked` or
    /// `job.ended`.
    action: &'static str,
    /// The workspace it was done to.
    workspace_id: String,
    /// The key, provider key, workspace or video that was changed, or the number of the posting that was made.
    object_id: String,
    /// The key that did it; null for what the gateway does itself at its first start.
    #[schema(required)]
    key_id: Option<String>,
    #[schema(required)]
    request_id: Option<String>,
    /// What was asked for; never a secret.
    #[schema(value_type = Object)]
    detail: Value,
}

/// List admin actions
#[utoipa::path(
    get,
    path = "/v1/admin/actions",
    operation_id = "list_admin_actions",
    tag = "keys",
    security(("bearer" = [])),
    params(
        ("workspace_id" = Option<String>, Query, description = "what was done to this workspace alone"),
        ("limit" = Option<u32>, Query, description = "lines on a page, 1 to 200; 50 by default"),
        ("after" = Option<String>, Query, description = "continue behind this line"),
    ),
    responses(
        (status = 200, description = "A page", body = ActionPage),
        (status = 400, description = "A parameter does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn actions(
    State(api): State<Shared>,
    Admin(_caller): Admin,
    query: Query,
) -> Result<Response, ApiError> {
    let workspace = query.last("workspace_id").map(workspace_id).transpose()?;
    let after = query.last("after").map(|text| {
        text.parse()
            .map_err(|error| ApiError::bad_id("after", &error))
    });
    let limit = paging::limit(&query)?;
    let page = api
        .engine
        .store()
        .actions(workspace, after.transpose()?, limit)
        .await?;
    let id = |action: &Action| action.id.to_string();
    Ok(json(ActionPage::of(page, id, ActionView::from)))
}

impl From<Action> for ActionView {
    fn from(action: Action) -> Self {
        Self {
            id: action.id.to_string(),
            object: "action",
            created_at: action.at.seconds(),
            action: action.kind.as_str(),
            workspace_id: action.workspace.to_string(),
            object_id: action.object,
            key_id: action.by.map(|key| key.to_string()),
            request_id: action.request_id,
            detail: action.detail,
        }
    }
}
