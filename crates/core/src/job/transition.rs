//! What one event changes: committed by the store in one transaction, or not at all.

use serde::{Deserialize, Serialize};

use super::{Attempt, Life};
use crate::ledger::Posting;
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
