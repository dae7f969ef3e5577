//! `GET /v1/credits/entries`: a workspace's ledger, a page at a time.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::PostingView;
use crate::auth::{Admin, workspace_of};
use crate::error::{ApiError, ErrorBody};
use crate::native::videos::json;
use crate::query::Query;
use crate::{Shared, paging};

/// A page of the ledger, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PostingPage {
    /// Always `list`.
    object: &'static str,
    data: Vec<PostingView>,
    has_more: bool,
}

/// List ledger entries
///
/// Every posting of a workspace, newest first. The sum of its entries on `ws:available` and `ws:held` is its balance.
#[utoipa::path(
    get,
    path = "/entries",
    operation_id = "list_credit_entries",
    tag = "money",
    security(("bearer" = [])),
    params(
        ("workspace_id" = Option<String>, Query, description = "whose; the key's own workspace by default"),
        ("limit" = Option<u32>, Query, description = "postings on a page, 1 to 200; 50 by default"),
        ("after" = Option<u64>, Query, description = "continue behind the posting of this number"),
    ),
    responses(
        (status = 200, description = "A page", body = PostingPage),
        (status = 400, description = "A parameter does not hold what it may", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = 404, description = "There is no such workspace", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn entries(
    State(api): State<Shared>,
    Admin(key): Admin,
    query: Query,
) -> Result<Response, ApiError> {
    let workspace = workspace_of(&api, &key, query.last("workspace_id")).await?;
    let limit = paging::limit(&query)?;
    let after = query.number("after", 1, i64::MAX)?;
    let before = after.and_then(|number| u64::try_from(number).ok());
    let page = api
        .engine
        .store()
        .postings(workspace, before, limit)
        .await?;
    Ok(json(PostingPage {
        object: "list",
        data: page.rows.into_iter().map(PostingView::from).collect(),
        has_more: page.has_more,
    }))
}
