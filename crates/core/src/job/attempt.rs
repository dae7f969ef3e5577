//! One submission to one provider.
//!
//! Every attempt has a row of its own, written before its submit leaves and kept for ever: what a
//! provider was paid can always be found there, and how long it took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Billed, Failure};
use crate::money::Nanos;
use crate::provider::NativeId;
use crate::request::ProviderName;
use crate::time::UnixTime;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1, within the job.
    pub number: u32,
    /// Index into the job's route.
    pub candidate: usize,
    pub provider: ProviderName,
    /// `None` where an earlier release began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_model: Option<String>,
    /// What we minted for the provider: its idempotency key, or the id a look-up finds.
    pub key: String,
    pub native: Option<NativeId>,
    pub submitted_at: UnixTime,
    pub accepted_at: Option<UnixTime>,
    /// Set once the provider is heard to have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    pub ended_at: Option<UnixTime>,
    pub outcome: AttemptOutcome,
    pub failure: Option<Failure>,
    /// What the provider charges, once known.
    pub provider_cost: Option<Nanos>,
    pub billed: Billed,
}

/// When a provider was done, as far as it was looked at: some time between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The last look at which it was not.
    pub after: UnixTime,
    /// The first at which it was.
    pub by: UnixTime,
}

/// The same, counted from the moment the provider took the job on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    pub not_yet: Duration,
    pub done: Duration,
}

impl Done {
    pub fn since(self, accepted_at: UnixTime) -> Took {
        Took {
            not_yet: self.after.since(accepted_at),
            done: self.by.since(accepted_at),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Under way, or its end not yet known.
    Open,
    /// The provider would not take it.
    Refused,
    /// A look-up showed that the submit never arrived.
    Absent,
    /// Nobody can tell whether the submit arrived.
    Ambiguous,
    Succeeded,
    Failed,
    /// Given up by us; its fate is in `billed` once known.
    Abandoned,
}

impl AttemptOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Absent => "absent",
            Self::Ambiguous => "ambiguous",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// An attempt that did not bring the result, as a job's `error.attempts` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSummary {
    pub number: u32,
    pub provider: ProviderName,
    pub code: crate::failure::FailureCode,
    pub message: String,
    pub at: UnixTime,
}
