//! `/v1/credits`: a workspace's funds, what operators put in or take out, and every posting of its ledger.

pub(crate) mod entries;
pub(crate) mod post;
pub(crate) mod show;

use filmgate_core::id::WorkspaceId;
use filmgate_core::ledger::{Account, Entry};
use filmgate_core::money::Delta;
use filmgate_store::{Balances, StoredPosting};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(show::show, post::post))
        .routes(routes!(entries::entries))
}

/// The funds of a workspace, in nano-dollars. Each may be negative where more was charged than was there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Credits {
    /// Always `credits`.
    object: &'static str,
    workspace_id: String,
    /// Always `usd`.
    currency: &'static str,
    /// What is available and what is reserved together.
    balance_nanos: i64,
    /// Held for jobs whose cost is not settled.
    reserved_nanos: i64,
    /// What new jobs may hold where funds are needed.
    available_nanos: i64,
    /// The entry that was made; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    entry: Option<PostingView>,
}

/// Entries of the ledger that belong together and sum to zero.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PostingView {
    /// Grows from posting to posting.
    number: u64,
    /// Always `posting`.
    object: &'static str,
    workspace_id: String,
    /// `top_up`, `adjustment`, `hold`, `capture`, `release`, `overage` or `provider_cost`.
    kind: &'static str,
    created_at: i64,
    /// The job it is about; null for what operators post.
    #[schema(required)]
    video_id: Option<String>,
    /// The hold it opens or closes.
    #[schema(required)]
    reservation_id: Option<String>,
    /// What an operator gave as the reason.
    #[schema(required)]
    reason: Option<String>,
    /// Positive on the account that receives.
    entries: Vec<EntryView>,
}

/// One account's part of a posting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryView {
    /// `ws:available`, `ws:held`, `operator:revenue`, `operator:provider_cost`, `external:providers` or
    /// `external:funding`.
    account: &'static str,
    amount_nanos: i64,
}

impl Credits {
    fn of(workspace: WorkspaceId, balances: Balances) -> Self {
        let Balances { available, held } = balances;
        Self {
            object: "credits",
            workspace_id: workspace.to_string(),
            currency: "usd",
            balance_nanos: available.checked_add(held).unwrap_or(Delta(i64::MAX)).0,
            reserved_nanos: held.0,
            available_nanos: available.0,
            entry: None,
        }
    }
}

impl From<StoredPosting> for PostingView {
    fn from(posting: StoredPosting) -> Self {
        let entry = |entry: Entry| EntryView {
            account: Account::as_str(entry.account),
            amount_nanos: entry.amount.0,
        };
        Self {
            number: posting.number,
            object: "posting",
            workspace_id: posting.workspace.to_string(),
            kind: posting.kind.as_str(),
            created_at: posting.at.seconds(),
            video_id: posting.job.map(|job| job.to_string()),
            reservation_id: posting.hold.map(|hold| hold.to_string()),
            reason: posting.reason,
            entries: posting.entries.into_iter().map(entry).collect(),
        }
    }
}
