//! A job: what was admitted (never changes) and its life (changes by [`apply`] alone).
//!
//! [`apply`] is one pure function from a job, an event and an instant to a [`Transition`]: the next
//! life, the money that moves with it, the notices it causes. The store commits a transition whole.

mod admission;
mod apply;
mod attempt;
mod billing;
mod change;
mod event;
mod life;
mod progress;
mod settlement;
mod transition;

pub use admission::{
    Abandoned, Admission, AmbiguousSubmit, Candidate, HoldTerms, Mode, Quoted, Terms, admit,
};
pub use apply::apply;
pub use attempt::{Attempt, AttemptOutcome, AttemptSummary, Done, Took};
pub use billing::{BillingState, ChargeReason, HoldStatus, Settlement};
pub use event::{Actor, Event};
pub use life::{Fate, Life, Links, ProgressSource, RouteCursor, State, Status, UnknownPolls};
pub use progress::{Expectation, poll_after_seconds};
pub use transition::{Notice, Rejected, TimelineEntry, Transition};

use std::sync::Arc;

/// A job as it stands at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub admission: Arc<Admission>,
    pub life: Life,
    /// Grows by one with every commit.
    pub version: u64,
    /// Changes whenever a worker claims the job.
    pub fence: u64,
}

impl Job {
    /// The candidate of the latest attempt, or the one that is asked next.
    pub fn candidate(&self) -> &Candidate {
        &self.admission.route[self.life.asks()]
    }

    /// The candidate the public API shows: of the latest attempt a provider took on, else the head of the
    /// route.
    pub fn shown_candidate(&self) -> &Candidate {
        &self.admission.route[self.life.last_accepted_candidate.unwrap_or(0)]
    }
}

#[cfg(test)]
mod properties;
