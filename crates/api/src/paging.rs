//! Pages: how many, from where, in which order.

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_store::Order;

use crate::Api;
use crate::error::ApiError;
use crate::native::videos::list::leads_somewhere;
use crate::query::Query;
use crate::request::shortened;

const DEFAULT_LIMIT: u32 = 50;
const MOST: i64 = 200;

pub(crate) fn limit(query: &Query) -> Result<u32, ApiError> {
    let limit = query.number("limit", 1, MOST)?;
    Ok(limit
        .and_then(|limit| u32::try_from(limit).ok())
        .unwrap_or(DEFAULT_LIMIT))
}

pub(crate) fn order(query: &Query) -> Result<Order, ApiError> {
    match query.last("order") {
        None | Some("desc") => Ok(Order::NewestFirst),
        Some("asc") => Ok(Order::OldestFirst),
        Some(other) => Err(ApiError::validation(
            "order",
            format!("{:?} was sent; allowed are asc and desc", shortened(other)),
        )),
    }
}

/// The video a page is to start or end at, which has to be one of the workspace's.
pub(crate) async fn known_video(
    api: &Api,
    workspace: WorkspaceId,
    query: &Query,
    name: &str,
) -> Result<Option<VideoId>, ApiError> {
    let Some(text) = query.last(name) else {
        return Ok(None);
    };
    let unknown = || {
        ApiError::validation(
            name,
            format!(
                "{:?} was sent; allowed is the id of a video of this workspace",
                shortened(text)
            ),
        )
    };
    let id = text.parse().map_err(|_| unknown())?;
    let found = api.engine.find(workspace, id).await?;
    leads_somewhere(&found)
        .then_some(Some(id))
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_to_two_hundred() {
        let limit = |text: &str| limit(&Query::read(text)).ok();
        assert_eq!(limit(""), Some(50));
        assert_eq!(limit("limit=200"), Some(200));
        for text in ["limit=0", "limit=201", "limit=x", "limit=-1"] {
            assert_eq!(limit(text), None, "{text}");
        }
        assert!(order(&Query::read("order=up")).is_err());
    }
}
