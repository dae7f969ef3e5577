//! `/v1/providers`: how the accounts at providers do, for operators.

use axum::extract::State;
use axum::response::Response;
use filmgate_engine::{AccountState, Breaker};
use serde::Serialize;
use utoipa::ToSchema;

use super::videos::json;
use crate::Shared;
use crate::auth::Admin;
use crate::error::{ApiError, ErrorBody};

/// The accounts that are on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Providers {
    /// Always `list`.
    object: &'static str,
    data: Vec<ProviderView>,
}

/// An account at a provider, as the process that answers has seen it lately: every replica learns by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderView {
    /// The name it is configured under.
    id: String,
    /// Always `provider`.
    object: &'static str,
    /// `closed`: all is well. `open`: calls to it failed in a row, and it is not asked before `breaker_until`. `half_open`:
    /// the next call tells.
    breaker: &'static str,
    #[schema(required)]
    breaker_until: Option<i64>,
    /// Calls that failed since the last one that did not.
    failures_in_row: u32,
    /// Until when it wants no more calls of a kind: it answered that there were too many.
    #[schema(required)]
    quiet_until: Option<i64>,
    slots: Slots,
    /// How long a conversation with it takes, in milliseconds: a running mean. Null before the first.
    #[schema(required)]
    latency_ms: Option<u64>,
    #[schema(required)]
    last_success_at: Option<i64>,
    #[schema(required)]
    last_failure: Option<LastFailure>,
    /// Models that the catalogue has at it.
    models: usize,
}

/// Jobs of an account, over all replicas.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Slots {
    /// How many it may have at its provider at once; null where it has no limit.
    #[schema(required)]
    limit: Option<u32>,
    /// At the provider, or on the way there.
    used: u64,
    /// Jobs that wait to be submitted.
    waiting: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastFailure {
    at: i64,
    /// As a job's `error.code`.
    code: &'static str,
    message: String,
}

impl From<AccountState> for ProviderView {
    fn from(account: AccountState) -> Self {
        let standing = account.standing;
        let (breaker, breaker_until) = match standing.breaker {
            Breaker::Closed => ("closed", None),
            Breaker::Open { until } => ("open", Some(until.seconds())),
            Breaker::HalfOpen => ("half_open", None),
        };
        Self {
            id: account.name.0,
            object: "provider",
            breaker,
            breaker_until,
            failures_in_row: standing.failures_in_row,
            quiet_until: standing.quiet_until.map(|at| at.seconds()),
            slots: Slots {
                limit: account.concurrency,
                used: account.load.at_provider,
                waiting: account.load.waiting,
            },
            latency_ms: standing
                .latency
                .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
            last_success_at: standing.last_success_at.map(|at| at.seconds()),
            last_failure: standing.last_failure.map(|failure| LastFailure {
                at: failure.at.seconds(),
                code: failure.code.as_str(),
                message: failure.message,
            }),
            models: account.models,
        }
    }
}

/// List providers
///
/// The accounts at providers that are on: breaker, slots, latency, and what went wrong last.
#[utoipa::path(
    get,
    path = "/v1/providers",
    operation_id = "list_providers",
    tag = "operations",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "All of them, by name", body = Providers),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key is not an admin's", body = ErrorBody),
        (status = "5XX", description = "The gateway failed", body = ErrorBody),
    ),
)]
pub(crate) async fn providers(
    State(api): State<Shared>,
    _admin: Admin,
) -> Result<Response, ApiError> {
    let accounts = api.engine.accounts().await?;
    Ok(json(Providers {
        object: "list",
        data: accounts.into_iter().map(ProviderView::from).collect(),
    }))
}
