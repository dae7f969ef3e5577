//! `PATCH /v1/keys/{key_id}`: changes the terms that are named.

use axum::extract::State;
use axum::response::Response;
use filmgate_core::key::KeyChange;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::KeyView;
use super::{NamedKey, terms};
use crate::Shared;
use crate::arrival::Arrival;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;
use crate::request::body::Json;
use crate::request::fields::{Dollars, Whole};

/// Terms to be changed. What is left out stays; null takes a limit, a reset or an end away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateKey {
    /// For people; 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// `read`, `member` or `admin`.
    role: Option<String>,
    /// Dollars its jobs may hold and have captured since the last reset. Taking it away takes the reset along.
    #[serde(default, deserialize_with = "terms::present")]
    #[schema(value_type = Option<String>, example = "25.00")]
    limit: Option<Option<Dollars>>,
    /// `daily`, `weekly` (on Mondays) or `monthly`, at midnight UTC. What was captured is counted anew from the start of
    /// the period that runs.
    #[serde(default, deserialize_with = "terms::present")]
    #[schema(value_type = Option<String>)]
    limit_reset: Option<Option<String>>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "terms::present")]
    #[schema(value_type = Option<i64>)]
    expires_at: Option<Option<Whole>>,
    /// `true`: it opens nothing until it is enabled again.
    disabled: Option<bool>,
    /// The most jobs of its own that may be under way, 1 to 1 000 000.
    #[serde(default, deserialize_with = "terms::present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000000)]
    max_in_flight: Option<Option<Whole>>,
}

/// Change a key
///
/// A key that is disabled or has expired opens nothing more at once; its jobs run on.
#[utoipa::path(
    patch,
    path = "/{key_id}",
    operation_id = "update_key",
    tag = "keys",
    security(("bearer" = [])),
    params(("key_id" = String, Path, description = "`key_` and 26 characters")),
    request_body = UpdateKey,
    responses(
        (status = 200, description = "The key as it is now", body = KeyView),
        (status = 400, description = "A field does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such key", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn update(
    State(api): State<Shared>,
    admin: Admin,
    NamedKey(key): NamedKey,
    arrival: Arrival,
    Json(body): Json<UpdateKey>,
) -> Result<Response, ApiError> {
    let change = KeyChange {
        name: body.name.as_deref().map(terms::name).transpose()?,
        role: body.role.as_deref().map(terms::role).transpose()?,
        limit: body.limit.map(|limit| limit.map(|limit| limit.0)),
        limit_reset: body
            .limit_reset
            .map(|word| word.as_deref().map(terms::limit_reset).transpose())
            .transpose()?,
        expires_at: body
            .expires_at
            .map(|at| at.map(|at| terms::expires_at(&api, at)).transpose())
            .transpose()?,
        disabled: body.disabled,
        max_in_flight: body
            .max_in_flight
            .map(|most| most.map(terms::max_in_flight).transpose())
            .transpose()?,
    };
    let operator = admin.operator(arrival, "keys.update");
    let changed = api.engine.change_key(&key, change, &operator).await?;
    Ok(json(KeyView::of(&api, changed).await?))
}
