//! A transition in the making: what the rules of `apply` and `settlement` write on.
//!
//! Not here: any rule of its own; these are the strokes the rules are drawn with.

use std::time::Duration;

use super::{
    Actor, Attempt, AttemptOutcome, AttemptSummary, Candidate, Event, Job, Life, Notice, Rejected,
    State, Status, TimelineEntry, Transition,
};
use crate::failure::Failure;
use crate::ledger::Posting;
use crate::time::UnixTime;

/// A job's `error.attempts` keeps this many, the latest.
const MOST_SUMMARIES: usize = 10;

pub(super) type Outcome = Result<Transition, Rejected>;

/// A transition in the making.
pub(super) struct Change<'a> {
    pub(super) job: &'a Job,
    pub(super) life: Life,
    pub(super) postings: Vec<Posting>,
    pub(super) notices: Vec<Notice>,
    pub(super) now: UnixTime,
    event: &'static str,
    actor: Actor,
    detail: Option<String>,
    /// Keys of stored objects that are the job's no longer.
    pub(super) forgotten: Vec<String>,
}

impl<'a> Change<'a> {
    pub(super) fn new(job: &'a Job, event: &Event, now: UnixTime) -> Self {
        Self {
            job,
            life: job.life.clone(),
            postings: Vec::new(),
            notices: Vec::new(),
            now,
            event: event.name(),
            actor: event.actor(),
            detail: None,
            forgotten: Vec::new(),
        }
    }

    pub(super) fn end(&mut self, state: State) {
        self.notices.push(match state.status() {
            Status::Completed => Notice::Completed,
            Status::Failed => Notice::Failed,
            Status::Cancelled => Notice::Cancelled,
            Status::Expired => Notice::Expired,
            Status::Queued | Status::Processing => unreachable!("only a terminal state ends a job"),
        });
        self.life.state = state;
        self.life.ended_at = Some(self.now);
        self.life.poll_after_seconds = 0;
        self.life.estimated_completion_at = None;
        self.life.due_at = None;
    }

    /// Whether the answer to the submit of `attempt` is still awaited, by a job under way or given up.
    pub(super) fn is_awaiting(&self, attempt: u32) -> bool {
        let ours = self
            .life
            .attempt
            .as_ref()
            .is_some_and(|ours| ours.number == attempt && ours.native.is_none());
        ours && (matches!(self.life.state, State::Submitting { .. }) || self.life.fate.is_some())
    }

    pub(super) fn close_attempt(&mut self, outcome: AttemptOutcome, failure: Option<&Failure>) {
        let now = self.now;
        let Some(ours) = &mut self.life.attempt else {
            return;
        };
        ours.ended_at.get_or_insert(now);
        ours.outcome = outcome;
        if let Some(failure) = failure {
            ours.failure = Some(failure.clone());
            ours.billed = failure.billed;
            let summary = AttemptSummary {
                number: ours.number,
                provider: ours.provider.clone(),
                code: failure.code,
                message: failure.message.clone(),
                at: now,
            };
            self.detail = Some(format!("{}: {}", failure.code.as_str(), failure.message));
            if self.life.failed_attempts.len() == MOST_SUMMARIES {
                self.life.failed_attempts.remove(0);
            }
            self.life.failed_attempts.push(summary);
        }
    }

    pub(super) fn attempt_mut(&mut self) -> &mut Attempt {
        self.life
            .attempt
            .as_mut()
            .expect("a job that was submitted has an attempt")
    }

    pub(super) fn attempt_candidate(&self) -> &'a Candidate {
        let at = self
            .life
            .attempt
            .as_ref()
            .map_or(self.life.route.at, |attempt| attempt.candidate);
        &self.job.admission.route[at]
    }

    /// Due after `wait`, but never later than the job expires.
    pub(super) fn due_in(&mut self, wait: Duration) {
        let due = self.now.plus(wait);
        let last = if self.life.status().is_terminal() {
            due
        } else {
            self.job.admission.expires_at()
        };
        self.life.due_at = Some(match self.life.state {
            State::Fetching { .. } => due,
            _ => due.min(last).max(self.now),
        });
    }

    pub(super) fn due_by(&mut self, wait: Duration, deadline: UnixTime) {
        self.life.due_at = Some(self.now.plus(wait).min(deadline));
    }

    pub(super) fn reject(&self) -> Outcome {
        Err(Rejected {
            event: self.event,
            state: self.job.life.state.name(),
        })
    }

    /// The transition, with a line in the timeline.
    pub(super) fn done(self) -> Outcome {
        let timeline = TimelineEntry {
            at: self.now,
            cause: self.event.to_owned(),
            actor: self.actor.to_string(),
            from: Some(self.job.life.state.name().to_owned()),
            to: self.life.state.name().to_owned(),
            attempt: self.life.attempt.as_ref().map(|attempt| attempt.number),
            detail: self.detail.clone(),
        };
        self.finish(Some(timeline))
    }

    /// The transition of something that only moves times and progress.
    pub(super) fn quietly(self) -> Outcome {
        self.finish(None)
    }

    pub(super) fn finish(mut self, timeline: Option<TimelineEntry>) -> Outcome {
        self.keep_bytes_for_a_while();
        let attempt = if self.life.attempt == self.job.life.attempt {
            None
        } else {
            self.life.attempt.clone()
        };
        let account = self.job.admission.route[self.life.asks()].account();
        Ok(Transition {
            life: self.life,
            postings: self.postings,
            notices: self.notices,
            timeline,
            attempt,
            account,
            forgotten: self.forgotten,
            action: None,
        })
    }

    /// A job that is over is looked at once more, when what it stored has been kept for long enough.
    fn keep_bytes_for_a_while(&mut self) {
        let Some(ended_at) = self.life.ended_at else {
            return;
        };
        let Some(kept) = self.job.admission.terms.retention_seconds else {
            return;
        };
        if self.life.bytes_removed_at.is_some() || self.stored_objects().is_empty() {
            return;
        }
        let until = ended_at.plus(Duration::from_secs(kept));
        self.life.bytes_expire_at = Some(until);
        if self.life.fate.is_none() {
            self.life.due_at = Some(until);
        }
    }

    /// The keys of everything the job keeps in the asset store.
    pub(super) fn stored_objects(&self) -> Vec<String> {
        let inputs = self.job.admission.request.inputs.iter();
        let inputs = inputs.map(|input| input.key.clone());
        inputs
            .chain(self.life.output_objects().map(str::to_owned))
            .collect()
    }
}
