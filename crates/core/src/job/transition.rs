//! What one event changes: committed by the store in one transaction, or not at all.

use serde::{Deserialize, Serialize};

use super::{Attempt, Life};
use crate::action::Action;
use crate::ledger::{Account, Posting};
use crate::money::Delta;
use crate::request::ProviderName;
use crate::time::UnixTime;

#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub life: Life,
    pub postings: Vec<Posting>,
    pub notices: Vec<Notice>,
    /// `None` for changes that only move times and progress.
    pub timeline: Option<TimelineEntry>,
    /// The attempt's row as it is now, where this changed it.
    pub attempt: Option<Attempt>,
    /// Whose account the job runs on, or is to be submitted on next.
    pub account: ProviderName,
    /// Keys of stored objects that are the job's no longer.
    pub forgotten: Vec<String>,
    /// The line in the operators' log, where an operator caused it.
    pub action: Option<Action>,
}

impl Transition {
    /// Whether the job was under way before and has ended now.
    pub fn ends_job(&self) -> bool {
        self.notices.iter().any(|notice| notice.is_end())
    }

    /// Whether it leaves nothing beside its job: only times and progress move.
    pub fn is_alone(&self) -> bool {
        let Self {
            life: _,
            account: _,
            postings,
            notices,
            timeline,
            attempt,
            forgotten,
            action,
        } = self;
        timeline.is_none()
            && attempt.is_none()
            && notices.is_empty()
            && postings.is_empty()
            && forgotten.is_empty()
            && action.is_none()
    }

    /// What this changes on `account`.
    pub fn effect_on(&self, account: Account) -> Delta {
        Delta(
            self.postings
                .iter()
                .map(|posting| posting.effect_on(account).0)
                .sum(),
        )
    }
}

/// What the outside is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    Created,
    StatusChanged,
    /// In steps of 10 per cent.
    Progress,
    Completed,
    Failed,
    Cancelled,
    Expired,
    BillingSettled,
}

impl Notice {
    /// Told once in a job's life, with the status it ends in.
    const fn is_end(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired => true,
            Self::Created | Self::StatusChanged | Self::Progress | Self::BillingSettled => false,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::StatusChanged => "status_changed",
            Self::Progress => "progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::BillingSettled => "billing_settled",
        }
    }
}

/// One line of a job's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: UnixTime,
    /// The event's name.
    pub cause: String,
    pub actor: String,
    /// `None` for the first.
    pub from: Option<String>,
    pub to: String,
    pub attempt: Option<u32>,
    pub detail: Option<String>,
}

/// The event does not apply to the job as it stands: an ordinary answer, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} does not take {event}")]
pub struct Rejected {
    pub event: &'static str,
    pub state: &'static str,
}
