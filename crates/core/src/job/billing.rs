//! A job's money: what is held, what was settled and why.

use serde::{Deserialize, Serialize};

use crate::money::Nanos;
use crate::time::UnixTime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    /// Nothing was ever held.
    #[default]
    None,
    Held,
    Captured,
    Released,
}

/// How the money ended: written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// `None` for an unpriced model, and where nobody can tell.
    pub provider_cost: Option<Nanos>,
    pub user_charge: Option<Nanos>,
    pub reason: ChargeReason,
    pub at: UnixTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeReason {
    Completed,
    /// Completed, and charged by the quote because nothing was measured or reported.
    CompletedQuote,
    Unpriced,
    CancelledBilled,
    ExpiredBilled,
    FailedBilled,
    Released,
    Free,
    /// The workspace paid the provider itself: the operator's fee, if any.
    Byok,
}

impl ChargeReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CompletedQuote => "completed_quote",
            Self::Unpriced => "unpriced",
            Self::CancelledBilled => "cancelled_billed",
            Self::ExpiredBilled => "expired_billed",
            Self::FailedBilled => "failed_billed",
            Self::Released => "released",
            Self::Free => "free",
            Self::Byok => "byok",
        }
    }
}

/// What the public API calls `billing.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BillingState {
    /// Fate or price not yet known.
    Pending,
    /// Held by the quote.
    Estimated,
    Settled,
    /// Released, or nothing to pay.
    Void,
}

impl BillingState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Estimated => "estimated",
            Self::Settled => "settled",
            Self::Void => "void",
        }
    }
}
