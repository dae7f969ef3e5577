//! The part of a job that changes.

use serde::{Deserialize, Serialize};

use super::{Admission, Attempt, AttemptSummary, BillingState, HoldStatus, Settlement};
use crate::asset::{Asset, MissingOutput};
use crate::failure::Failure;
use crate::provider::{Delivery, NativeId};
use crate::time::UnixTime;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Life {
    pub state: State,
    pub route: RouteCursor,
    /// The latest submission.
    pub attempt: Option<Attempt>,
    /// Submissions made, refused ones included.
    pub submissions: u32,
    /// Submissions that a provider took on; at most three.
    pub acceptances: u32,
    pub last_accepted_candidate: Option<usize>,
    /// Attempts that did not bring the result.
    pub failed_attempts: Vec<AttemptSummary>,
    /// When a provider first took it on.
    pub started_at: Option<UnixTime>,
    /// When it became terminal.
    pub ended_at: Option<UnixTime>,
    pub observed_at: Option<UnixTime>,
    pub progress: Option<u8>,
    pub progress_source: ProgressSource,
    pub estimated_completion_at: Option<UnixTime>,
    pub poll_after_seconds: u32,
    pub hold: HoldStatus,
    pub settlement: Option<Settlement>,
    pub provider_may_have_charged: bool,
    /// Set while a terminal job's last attempt may still cost money.
    pub fate: Option<Fate>,
    /// When a terminal job's stored bytes, inputs included, are to be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_expire_at: Option<UnixTime>,
    /// When they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_removed_at: Option<UnixTime>,
    /// When somebody must look at the job again; `None` when nothing is left to do.
    pub due_at: Option<UnixTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits to be submitted.
    Accepted,
    /// An attempt row is committed; its submit is on its way, or its answer is `lost`.
    Submitting {
        lost: bool,
    },
    /// A provider has it.
    Running {
        native: NativeId,
        unknown: Option<UnknownPolls>,
    },
    /// The provider is done; the bytes are on their way to us.
    Fetching {
        native: NativeId,
        delivery: Delivery,
        links: Links,
        deadline: UnixTime,
    },
    Completed {
        assets: Vec<Asset>,
        missing: Vec<MissingOutput>,
    },
    Failed {
        failure: Failure,
    },
    Cancelled,
    Expired {
        failure: Failure,
    },
}

/// How often, and since when, the provider has not known the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownPolls {
    pub count: u32,
    pub since: UnixTime,
}

/// Where the links to fetch stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Dead: the next step polls for new ones.
    pub stale: bool,
    /// How often new ones were asked for.
    pub renewals: u32,
}

/// Which candidate is asked next, and what the round so far has taught.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteCursor {
    /// Index into the route.
    pub at: usize,
    /// Full rounds of refusals so far in which nobody said how long to wait.
    pub rounds: u32,
    /// The shortest `Retry-After` of this round, in milliseconds.
    pub shortest_wait_ms: Option<u64>,
    /// Candidates that took the job on and failed; not asked again.
    pub spent: Vec<usize>,
}

/// What is still to be learnt about a job that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// When the hold is released, known or not.
    pub deadline: UnixTime,
    /// The provider was asked to cancel.
    pub cancel_asked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressSource {
    Provider,
    Estimated,
    #[default]
    None,
}

impl ProgressSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Estimated => "estimated",
            Self::None => "none",
        }
    }
}

/// What the public API shows: the only six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    Processing,
    Completed,
    Failed,
    Cancelled,
    Expired,
}

impl Status {
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired
        )
    }
}

impl State {
    /// The word logs, timeline and store use.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Submitting { .. } => "submitting",
            Self::Running { .. } => "running",
            Self::Fetching { .. } => "fetching",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired { .. } => "expired",
        }
    }

    pub const fn status(&self) -> Status {
        match self {
            Self::Accepted | Self::Submitting { .. } => Status::Queued,
            Self::Running { .. } | Self::Fetching { .. } => Status::Processing,
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled => Status::Cancelled,
            Self::Expired { .. } => Status::Expired,
        }
    }
}

impl Life {
    /// The life of a job that was just admitted: due at once.
    pub(super) fn accepted(admission: &Admission) -> Self {
        Self {
            state: State::Accepted,
            route: RouteCursor::default(),
            attempt: None,
            submissions: 0,
            acceptances: 0,
            last_accepted_candidate: None,
            failed_attempts: Vec::new(),
            started_at: None,
            ended_at: None,
            observed_at: None,
            progress: None,
            progress_source: ProgressSource::None,
            estimated_completion_at: None,
            poll_after_seconds: super::poll_after_seconds(None),
            hold: if admission.hold.is_some() {
                HoldStatus::Held
            } else {
                HoldStatus::None
            },
            settlement: None,
            provider_may_have_charged: false,
            fate: None,
            bytes_expire_at: None,
            bytes_removed_at: None,
            due_at: Some(admission.created_at),
        }
    }

    pub const fn status(&self) -> Status {
        self.state.status()
    }

    /// The candidate of the latest attempt, or the one that is asked next: an index into the route.
    pub fn asks(&self) -> usize {
        match (&self.state, &self.attempt) {
            (State::Accepted, _) | (_, None) => self.route.at,
            (_, Some(attempt)) => attempt.candidate,
        }
    }

    /// The keys of the stored objects that the job made and still has.
    pub fn output_objects(&self) -> impl Iterator<Item = &str> {
        let assets = match &self.state {
            State::Completed { assets, .. } if self.bytes_removed_at.is_none() => assets.as_slice(),
            State::Completed { .. }
            | State::Accepted
            | State::Submitting { .. }
            | State::Running { .. }
            | State::Fetching { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. } => &[],
        };
        assets.iter().flat_map(|asset| {
            let thumbnail = asset.thumbnail.as_ref();
            std::iter::once(asset.key.as_str())
                .chain(thumbnail.map(|thumbnail| thumbnail.key.as_str()))
        })
    }

    pub fn billing_state(&self) -> BillingState {
        match (&self.settlement, self.hold) {
            (Some(_), HoldStatus::Captured) => BillingState::Settled,
            (Some(_), _) => BillingState::Void,
            (None, HoldStatus::Held) if !self.status().is_terminal() => BillingState::Estimated,
            (None, _) => BillingState::Pending,
        }
    }
}
