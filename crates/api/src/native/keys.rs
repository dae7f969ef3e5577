//! `/v1/keys`: who may call, for operators.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{Key, Role};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::videos::json;
use crate::Shared;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::query::Query;
use crate::request::body::Json;
use crate::request::shortened;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(revoke))
}

/// A new key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// For people; 1 to 128 characters.
    #[schema(required, nullable = false, min_length = 1, max_length = 128)]
    name: Option<String>,
    /// `read`, `member` (the default) or `admin`.
    role: Option<String>,
    /// Whose key it is; the caller's own workspace by default.
    workspace_id: Option<String>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: String,
    /// Always `key`.
    object: &'static str,
    name: String,
    /// `read`, `member` or `admin`.
    role: &'static str,
    workspace_id: String,
    /// The public part of its text, between `fg_` and the secret.
    kid: String,
    created_at: i64,
    /// Null while it is in force.
    #[schema(required)]
    revoked_at: Option<i64>,
    /// The whole key; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key: Option<String>,
}

/// All keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// Always `list`.
    object: &'static str,
    data: Vec<KeyView>,
    has_more: bool,
}

impl From<Key> for KeyView {
    fn from(key: Key) -> Self {
        Self {
            id: key.id.to_string(),
            object: "key",
            name: key.name,
            role: key.role.as_str(),
            workspace_id: key.workspace.to_string(),
            kid: key.kid,
            created_at: key.created_at.seconds(),
            revoked_at: key.revoked_at.map(|at| at.seconds()),
            key: None,
        }
    }
}

/// Make a key
///
/// The whole key is in this answer and never shown again.
#[utoipa::path(
    post,
    path = "/",
    operation_id = "create_key",
    tag = "keys",
    security(("bearer" = [])),
    request_body = CreateKey,
    responses(
        (status = 201, description = "The key, with its text", body = KeyView),
        (status = 400, description = "A field does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(api): State<Shared>,
    Admin(caller): Admin,
    Json(body): Json<CreateKey>,
) -> Result<Response, ApiError> {
    let name = name(body.name)?;
    let role = match body.role.as_deref() {
        None => Role::Member,
        Some(word) => Role::parse(word).ok_or_else(|| {
            ApiError::validation(
                "role",
                format!(
                    "{:?} was sent; allowed are {}",
                    shortened(word),
                    Role::ALL.map(Role::as_str).join(", ")
                ),
            )
        })?,
    };
    let workspace = match body.workspace_id.as_deref() {
        None => caller.workspace,
        Some(text) => workspace_id(text)?,
    };
    let made = api.engine.create_key(workspace, name, role).await?;
    let shown = KeyView {
        key: Some(made.text.expose().to_owned()),
        ..made.key.into()
    };
    Ok((StatusCode::CREATED, json(shown)).into_response())
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
    let keys = api.engine.store().keys(workspace).await?;
    Ok(json(KeyList {
        object: "list",
        data: keys.into_iter().map(KeyView::from).collect(),
        has_more: false,
    }))
}

/// Revoke a key
///
/// Stops its calls at once and for ever; its jobs run on.
#[utoipa::path(
    delete,
    path = "/{key_id}",
    operation_id = "revoke_key",
    tag = "keys",
    security(("bearer" = [])),
    params(("key_id" = String, Path, description = "`key_` and 26 characters")),
    responses(
        (status = 200, description = "The key, revoked", body = KeyView),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn revoke(
    State(api): State<Shared>,
    Admin(_caller): Admin,
    axum::extract::Path(key_id): axum::extract::Path<String>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("there is no such key").reason("key_not_found");
    let id: KeyId = key_id.parse().map_err(|_| unknown())?;
    let revoked = api
        .engine
        .store()
        .revoke_key(id, api.engine.now())
        .await?
        .ok_or_else(unknown)?;
    Ok(json(KeyView::from(revoked)))
}

/// A name for people.
pub(crate) fn name(sent: Option<String>) -> Result<String, ApiError> {
    let name = sent.unwrap_or_default();
    let count = name.chars().count();
    if (1..=128).contains(&count) {
        return Ok(name);
    }
    Err(ApiError::validation(
        "name",
        format!("{count} characters were sent; allowed are 1 to 128"),
    ))
}

fn workspace_id(text: &str) -> Result<WorkspaceId, ApiError> {
    text.parse()
        .map_err(|error| ApiError::bad_id("workspace_id", &error))
}
