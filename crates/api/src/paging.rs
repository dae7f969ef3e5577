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

/// Names a page of a list. Clients that are made from the OpenAPI document want a name for each.
macro_rules! page_of {
    ($(#[$about:meta])* $visible:vis $Page:ident: $View:ident) => {
        $(#[$about])*
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        $visible struct $Page {
            /// Always `list`.
            object: &'static str,
            data: Vec<$View>,
            #[schema(required)]
            first_id: Option<String>,
            #[schema(required)]
            last_id: Option<String>,
            /// More lies beyond this page, in the direction asked for.
            has_more: bool,
        }

        impl $Page {
            /// `id` tells a row's id, `view` how the row is shown.
            fn of<R>(
                page: filmgate_store::Page<R>,
                id: impl Fn(&R) -> String,
                view: impl FnMut(R) -> $View,
            ) -> Self {
                Self {
                    object: "list",
                    first_id: page.rows.first().map(&id),
                    last_id: page.rows.last().map(&id),
                    has_more: page.has_more,
                    data: page.rows.into_iter().map(view).collect(),
                }
            }
        }
    };
}
pub(crate) use page_of;

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
