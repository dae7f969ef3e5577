//! The state machine: what each event makes of each state.
//!
//! It decides and computes; it does not read a clock, draw chance or touch the store. How money ends is in
//! `settlement.rs`, what the rules write on in `change.rs`.

use std::time::Duration;

use super::change::{Change, Outcome};
use super::settlement::Ending;
use super::{
    AmbiguousSubmit, Attempt, AttemptOutcome, Done, Event, Expectation, Fate, Job, Notice,
    Rejected, State, Transition,
};
use crate::asset::{Asset, MissingOutput};
use crate::failure::{Billed, Failure, FailureCode};
use crate::id::KeyId;
use crate::job::life::{Links, UnknownPolls};
use crate::provider::{Delivery, NativeId, SubmitRepeat, Usage};
use crate::time::UnixTime;

/// A provider may take a job on this often before we give up.
const MOST_ACCEPTANCES: u32 = 3;
/// How long the fate of a job that was given up may stay unknown.
const FATE_DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// How long finished outputs may take to reach us.
const FETCH_DEADLINE: Duration = Duration::from_secs(3600);
/// Dead links are asked for anew this often: a provider may lose them to a restart of its own more than once.
const MOST_RENEWALS: u32 = 5;
/// The first renewal is asked for at once, each further one this much later than the one before.
const RENEWAL_STEP: Duration = Duration::from_secs(2);
/// A provider that does not know an id is believed after this many polls over this time.
const UNKNOWN_POLLS: u32 = 3;
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// The wait after a round in which every candidate refused: doubling up to the longest.
const FIRST_ROUND_WAIT: Duration = Duration::from_secs(5);
const LONGEST_ROUND_WAIT: Duration = Duration::from_secs(300);

/// What `event` makes of `job` at `now`. Rejection is an ordinary answer: the event came too late, or is
/// not for this state.
pub fn apply(job: &Job, event: Event, now: UnixTime) -> Result<Transition, Rejected> {
    let change = Change::new(job, &event, now);
    match event {
        Event::Cancel { .. } => change.cancel(),
        Event::Expire => change.expire(),
        Event::DeadlinePassed { deadline } => change.deadline_passed(deadline),
        Event::WrittenOff { by } => change.written_off(by),
        Event::PutOff { wait, jitter } => change.put_off(wait, jitter),
        Event::Claimed => change.claimed(),
        Event::Submitted {
            attempt,
            native,
            expectation,
        } => change.submitted(attempt, native, expectation),
        Event::Refused {
            attempt,
            failure,
            jitter,
        } => change.refused(attempt, failure, jitter),
        Event::AnswerLost { attempt, failure } => change.answer_lost(attempt, failure),
        Event::StillLost { attempt, wait } => change.still_lost(attempt, wait),
        Event::Absent { attempt } => change.absent(attempt),
        Event::Untraceable { attempt } => change.untraceable(attempt),
        Event::Observed {
            progress,
            expectation,
        } => change.observed(progress, expectation),
        Event::Unheard { wait } => change.unheard(wait),
        Event::Nudged { attempt } => change.nudged(attempt),
        Event::NotKnown { wait } => change.not_known(wait),
        Event::Succeeded { delivery } => change.succeeded(delivery),
        Event::FailedUpstream { failure, usage } => change.failed_upstream(failure, usage),
        Event::ExpiredUpstream { billed, usage } => change.expired_upstream(billed, usage),
        Event::Stored { assets, missing } => change.stored(assets, missing),
        Event::LinkExpired => change.link_expired(),
        Event::FetchDelayed { wait } => change.fetch_delayed(wait),
        Event::FetchFailed { failure } => change.fetch_failed(failure),
        Event::FateKnown { billed, usage } => change.fate_known(billed, usage),
        Event::FatePending { wait, cancel_asked } => change.fate_pending(wait, cancel_asked),
        Event::BytesExpired => change.bytes_expired(),
    }
}

impl Change<'_> {
    fn cancel(mut self) -> Outcome {
        match self.life.state {
            State::Accepted => {
                self.end(State::Cancelled);
                self.settle(Ending::GivenUp {
                    billed: Billed::No,
                    usage: Usage::default(),
                });
                self.done()
            }
            State::Submitting { .. } | State::Running { .. } => self.abandon(State::Cancelled),
            State::Fetching { ref delivery, .. } => {
                let usage = delivery.usage;
                self.close_attempt(AttemptOutcome::Abandoned, None);
                self.end(State::Cancelled);
                self.settle(Ending::GivenUp {
                    billed: Billed::Yes,
                    usage,
                });
                self.done()
            }
            State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. } => self.reject(),
        }
    }

    fn expire(mut self) -> Outcome {
        let failure = Failure::permanent(
            FailureCode::Expired,
            format!(
                "no provider had a result within {} s",
                self.job.admission.request.expires_after.as_secs()
            ),
        );
        match self.life.state {
            State::Accepted => {
                self.end(State::Expired { failure });
                self.settle(Ending::GivenUp {
                    billed: Billed::No,
                    usage: Usage::default(),
                });
                self.done()
            }
            State::Submitting { .. } | State::Running { .. } => {
                self.abandon(State::Expired { failure })
            }
            State::Fetching { .. }
            | State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. } => self.reject(),
        }
    }

    fn deadline_passed(self, deadline: Duration) -> Outcome {
        let State::Running { .. } = self.life.state else {
            return self.reject();
        };
        let failure = Failure::permanent(
            FailureCode::ProviderTimeout,
            format!("the provider had no result within {} s", deadline.as_secs()),
        );
        self.abandon(State::Failed { failure })
    }

    /// Nobody is asked any more, so what is not known by now stays unknown.
    fn written_off(mut self, by: Option<KeyId>) -> Outcome {
        let unknown = Ending::GivenUp {
            billed: Billed::Unknown,
            usage: Usage::default(),
        };
        let (failure, state) = match by {
            Some(_) => {
                let failure =
                    Failure::permanent(FailureCode::GatewayError, "the operator ended it");
                (failure.clone(), State::Failed { failure })
            }
            None => {
                let failure = Failure::permanent(
                    FailureCode::Expired,
                    "its time was over while nobody could work on it",
                );
                (failure.clone(), State::Expired { failure })
            }
        };
        match self.life.state {
            State::Accepted => {
                self.end(state);
                self.settle(Ending::GivenUp {
                    billed: Billed::No,
                    usage: Usage::default(),
                });
                self.done()
            }
            State::Submitting { .. } | State::Running { .. } => {
                self.close_attempt(
                    AttemptOutcome::Abandoned,
                    Some(&failure.billed(Billed::Unknown)),
                );
                self.end(state);
                self.settle(unknown);
                self.done()
            }
            State::Fetching { ref delivery, .. } => {
                let usage = delivery.usage;
                let failure = Failure::permanent(FailureCode::OutputUnavailable, failure.message);
                self.undelivered(failure, usage)
            }
            State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. } => {
                if self.life.fate.is_none() {
                    return self.reject();
                }
                self.close_attempt(AttemptOutcome::Abandoned, None);
                self.settle(unknown);
                self.done()
            }
        }
    }

    fn claimed(mut self) -> Outcome {
        let State::Accepted = self.life.state else {
            return self.reject();
        };
        let number = self.life.submissions + 1;
        let candidate = self.life.route.at;
        self.life.submissions = number;
        self.life.attempt = Some(Attempt {
            number,
            candidate,
            provider: self.job.admission.route[candidate].provider.clone(),
            native_model: Some(self.job.admission.route[candidate].native_model.clone()),
            key: format!("{}-{number}", self.job.admission.id),
            native: None,
            submitted_at: self.now,
            accepted_at: None,
            done: None,
            ended_at: None,
            outcome: AttemptOutcome::Open,
            failure: None,
            provider_cost: None,
            billed: Billed::Unknown,
        });
        self.life.state = State::Submitting { lost: false };
        self.due_in(Duration::ZERO);
        self.done()
    }

    fn submitted(mut self, attempt: u32, native: NativeId, expectation: Expectation) -> Outcome {
        let now = self.now;
        let terminal = self.life.status().is_terminal();
        let Some(ours) = self
            .life
            .attempt
            .as_mut()
            .filter(|ours| ours.number == attempt && ours.native.is_none())
        else {
            return self.reject();
        };
        ours.native = Some(native.clone());
        ours.accepted_at = Some(now);
        let candidate = ours.candidate;
        if terminal {
            // Too late to be of use, but not too late to cost money: its fate must be learnt.
            self.life.fate.get_or_insert(Fate {
                deadline: now.plus(FATE_DEADLINE),
                cancel_asked: false,
            });
            self.due_in(Duration::ZERO);
            return self.done();
        }
        let State::Submitting { .. } = self.life.state else {
            return self.reject();
        };
        self.life.state = State::Running {
            native,
            unknown: None,
        };
        self.life.acceptances += 1;
        self.life.last_accepted_candidate = Some(candidate);
        self.life.route.rounds = 0;
        self.life.started_at.get_or_insert(now);
        self.life.observe(None, expectation, now);
        self.notices.push(Notice::StatusChanged);
        self.due_in(expectation.next_poll);
        self.done()
    }

    fn refused(mut self, attempt: u32, failure: Failure, jitter: Duration) -> Outcome {
        if !self.is_awaiting(attempt) {
            return self.reject();
        }
        self.close_attempt(AttemptOutcome::Refused, Some(&failure));
        if self.life.fate.is_some() {
            // Given up meanwhile: a refusal is the best of fates.
            self.settle(Ending::GivenUp {
                billed: failure.billed,
                usage: Usage::default(),
            });
            return self.done();
        }
        if !failure.retryable {
            return self.fail(failure, Usage::default());
        }
        self.life.state = State::Accepted;
        self.ask_the_next(failure.retry_after, jitter);
        self.done()
    }

    fn put_off(mut self, wait: Duration, jitter: Duration) -> Outcome {
        let State::Accepted = self.life.state else {
            return self.reject();
        };
        self.ask_the_next(Some(wait), jitter);
        self.quietly()
    }

    /// On to the next candidate at once; after the last one from the first again, when the shortest wait of this round is
    /// over, or a pause that grows with each round in which nobody named one.
    fn ask_the_next(&mut self, wait: Option<Duration>, jitter: Duration) {
        let route = &mut self.life.route;
        if let Some(wait) = wait {
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            route.shortest_wait_ms = Some(
                route
                    .shortest_wait_ms
                    .map_or(wait, |before| before.min(wait)),
            );
        }
        let open = |at: &usize| !route.spent.contains(at);
        let all = 0..self.job.admission.route.len();
        if let Some(next) = (route.at + 1..all.end).find(open) {
            route.at = next;
            self.due_in(Duration::ZERO);
            return;
        }
        route.at = all.into_iter().find(open).unwrap_or(route.at);
        let wait = match route.shortest_wait_ms.take() {
            Some(wait) => Duration::from_millis(wait),
            None => {
                let backoff = FIRST_ROUND_WAIT.saturating_mul(1 << route.rounds.min(10));
                route.rounds += 1;
                backoff.min(LONGEST_ROUND_WAIT)
            }
        };
        self.due_in(wait.saturating_add(jitter));
    }

    fn answer_lost(mut self, attempt: u32, failure: Failure) -> Outcome {
        if !self.is_awaiting(attempt) || matches!(self.life.state, State::Submitting { lost: true })
        {
            return self.reject();
        }
        let ours = self.attempt_mut();
        ours.failure = Some(failure);
        if self.attempt_candidate().submit_repeat == SubmitRepeat::Never {
            return self.ambiguous();
        }
        if self.life.fate.is_none() {
            self.life.state = State::Submitting { lost: true };
        }
        self.due_in(Duration::ZERO);
        self.done()
    }

    fn still_lost(mut self, attempt: u32, wait: Duration) -> Outcome {
        if !self.is_awaiting(attempt)
            || matches!(self.life.state, State::Submitting { lost: false })
        {
            return self.reject();
        }
        self.due_in(wait);
        self.quietly()
    }

    fn absent(mut self, attempt: u32) -> Outcome {
        if !self.is_awaiting(attempt) {
            return self.reject();
        }
        self.close_attempt(AttemptOutcome::Absent, None);
        if self.life.fate.is_some() {
            self.settle(Ending::GivenUp {
                billed: Billed::No,
                usage: Usage::default(),
            });
            return self.done();
        }
        self.life.state = State::Accepted;
        self.due_in(Duration::ZERO);
        self.done()
    }

    fn untraceable(self, attempt: u32) -> Outcome {
        if !self.is_awaiting(attempt) {
            return self.reject();
        }
        self.ambiguous()
    }

    fn observed(mut self, progress: Option<u8>, expectation: Expectation) -> Outcome {
        if self.awaits_links() {
            return self.wait_for_links(expectation.next_poll);
        }
        let State::Running { unknown, .. } = &mut self.life.state else {
            return self.reject();
        };
        *unknown = None;
        let before = self.life.progress;
        self.life.observe(progress, expectation, self.now);
        if before.unwrap_or(0) / 10 < self.life.progress.unwrap_or(0) / 10 {
            self.notices.push(Notice::Progress);
        }
        self.due_in(expectation.next_poll);
        self.quietly()
    }

    fn unheard(mut self, wait: Duration) -> Outcome {
        if self.awaits_links() {
            return self.wait_for_links(wait);
        }
        let State::Running { .. } = self.life.state else {
            return self.reject();
        };
        self.due_in(wait);
        self.quietly()
    }

    /// The next look is brought forward, and nothing else is believed.
    fn nudged(mut self, attempt: u32) -> Outcome {
        let ours = self.life.attempt.as_ref();
        let State::Running { .. } = self.life.state else {
            return self.reject();
        };
        let due_already = self.life.due_at.is_some_and(|due| due <= self.now);
        if ours.is_none_or(|ours| ours.number != attempt) || due_already {
            return self.reject();
        }
        self.due_in(Duration::ZERO);
        self.quietly()
    }

    fn not_known(mut self, wait: Duration) -> Outcome {
        if self.awaits_links() {
            return self.wait_for_links(wait);
        }
        let now = self.now;
        let State::Running { unknown, .. } = &mut self.life.state else {
            return self.reject();
        };
        let seen = UnknownPolls {
            count: unknown.map_or(1, |before| before.count.saturating_add(1)),
            since: unknown.map_or(now, |before| before.since),
        };
        *unknown = Some(seen);
        if seen.count >= UNKNOWN_POLLS && now.since(seen.since) >= UNKNOWN_FOR {
            let failure = Failure::permanent(
                FailureCode::Expired,
                "the provider no longer knows this job",
            );
            return self.abandon(State::Expired { failure });
        }
        self.due_in(wait);
        self.quietly()
    }

    fn succeeded(mut self, delivery: Delivery) -> Outcome {
        let (native, renewals, deadline) = match &self.life.state {
            State::Running { native, .. } => {
                let native = native.clone();
                self.note_done();
                (native, 0, self.now.plus(FETCH_DEADLINE))
            }
            State::Fetching {
                native,
                links,
                deadline,
                ..
            } if links.stale => (native.clone(), links.renewals + 1, *deadline),
            _ => return self.reject(),
        };
        let links = Links {
            stale: false,
            renewals,
        };
        self.life.state = State::Fetching {
            native,
            delivery,
            links,
            deadline,
        };
        self.life.observed_at = Some(self.now);
        self.due_in(Duration::ZERO);
        self.done()
    }

    /// Heard for the first time: success is heard once more where its links died.
    fn note_done(&mut self) {
        let (seen, now) = (self.life.observed_at, self.now);
        let attempt = self.attempt_mut();
        // What was seen before it was accepted was another attempt.
        let after = seen.max(attempt.accepted_at).unwrap_or(now);
        attempt.done = Some(Done { after, by: now });
    }

    fn failed_upstream(mut self, failure: Failure, usage: Usage) -> Outcome {
        if self.awaits_links() {
            return self.output_unavailable(
                "the provider had finished, and then no longer had the output",
                usage,
            );
        }
        let State::Running { .. } = self.life.state else {
            return self.reject();
        };
        self.life.observed_at = Some(self.now);
        self.close_attempt(AttemptOutcome::Failed, Some(&failure));
        let spent = self.attempt_mut().candidate;
        self.life.route.spent.push(spent);
        let next =
            (0..self.job.admission.route.len()).find(|at| !self.life.route.spent.contains(at));
        let in_time = self.now < self.job.admission.expires_at();
        match next {
            Some(next)
                if failure.retryable
                    && failure.billed == Billed::No
                    && self.life.acceptances < MOST_ACCEPTANCES
                    && in_time =>
            {
                self.life.route.at = next;
                self.life.state = State::Accepted;
                self.notices.push(Notice::StatusChanged);
                self.due_in(Duration::ZERO);
                self.done()
            }
            _ => self.fail(failure, usage),
        }
    }

    fn expired_upstream(mut self, billed: Billed, usage: Usage) -> Outcome {
        if self.awaits_links() {
            return self.output_unavailable(
                "the provider had finished, and then no longer had the output",
                usage,
            );
        }
        let State::Running { .. } = self.life.state else {
            return self.reject();
        };
        let failure = Failure::permanent(FailureCode::Expired, "the provider gave the job up");
        self.life.observed_at = Some(self.now);
        self.close_attempt(AttemptOutcome::Failed, Some(&failure));
        self.end(State::Expired { failure });
        self.settle(Ending::GivenUp { billed, usage });
        self.done()
    }

    /// The only way into `Completed`: every delivered output is stored and measured, and its cost is known.
    fn stored(mut self, assets: Vec<Asset>, missing: Vec<MissingOutput>) -> Outcome {
        let State::Fetching { delivery, .. } = &self.life.state else {
            return self.reject();
        };
        let usage = delivery.usage;
        if assets.is_empty() {
            let failure = match missing.first() {
                Some(output) => Failure::of(
                    output.code,
                    format!("no output is a whole playable video: {}", output.message),
                ),
                None => Failure::of(FailureCode::OutputInvalid, "the provider delivered nothing"),
            };
            return self.undelivered(failure, usage);
        }
        let measured = crate::pricing::Measured {
            output_ms: assets.iter().map(|asset| asset.duration_ms).collect(),
        };
        self.close_attempt(AttemptOutcome::Succeeded, None);
        self.end(State::Completed { assets, missing });
        self.life.progress = Some(100);
        self.life.progress_source = super::ProgressSource::Provider;
        self.settle(Ending::Delivered { measured, usage });
        self.done()
    }

    fn link_expired(mut self) -> Outcome {
        let State::Fetching {
            links,
            delivery,
            deadline,
            ..
        } = &mut self.life.state
        else {
            return self.reject();
        };
        let deadline = *deadline;
        if links.renewals < MOST_RENEWALS && self.now < deadline {
            links.stale = true;
            let wait = RENEWAL_STEP * links.renewals;
            self.due_by(wait, deadline);
            return self.done();
        }
        let usage = delivery.usage;
        self.output_unavailable(
            "the provider's links died again and again before the output could be fetched",
            usage,
        )
    }

    fn fetch_delayed(mut self, wait: Duration) -> Outcome {
        let State::Fetching {
            deadline,
            ref delivery,
            ..
        } = self.life.state
        else {
            return self.reject();
        };
        if self.now >= deadline {
            let usage = delivery.usage;
            return self.output_unavailable(
                "the output could not be fetched and stored within an hour",
                usage,
            );
        }
        self.due_by(wait, deadline);
        self.quietly()
    }

    fn fetch_failed(self, failure: Failure) -> Outcome {
        let State::Fetching { delivery, .. } = &self.life.state else {
            return self.reject();
        };
        let usage = delivery.usage;
        self.undelivered(failure, usage)
    }

    fn fate_known(mut self, billed: Billed, usage: Usage) -> Outcome {
        if self.life.fate.is_none() {
            return self.reject();
        }
        self.close_attempt(AttemptOutcome::Abandoned, None);
        self.settle(Ending::GivenUp { billed, usage });
        self.done()
    }

    fn fate_pending(mut self, wait: Duration, cancel_asked: bool) -> Outcome {
        let Some(fate) = &mut self.life.fate else {
            return self.reject();
        };
        fate.cancel_asked |= cancel_asked;
        let deadline = fate.deadline;
        if self.now >= deadline {
            self.close_attempt(AttemptOutcome::Abandoned, None);
            self.settle(Ending::GivenUp {
                billed: Billed::Unknown,
                usage: Usage::default(),
            });
            return self.done();
        }
        self.due_by(wait, deadline);
        self.quietly()
    }

    fn bytes_expired(mut self) -> Outcome {
        let over = self.life.status().is_terminal() && self.life.fate.is_none();
        let kept_long_enough = self.life.bytes_expire_at.is_some_and(|at| at <= self.now);
        if !over || !kept_long_enough || self.life.bytes_removed_at.is_some() {
            return self.reject();
        }
        self.forgotten = self.stored_objects();
        self.life.bytes_removed_at = Some(self.now);
        self.life.due_at = None;
        self.done()
    }

    /// Whether the provider is done, but its links are dead.
    fn awaits_links(&self) -> bool {
        matches!(&self.life.state, State::Fetching { links, .. } if links.stale)
    }

    /// New links are not there yet: asked for again after `wait`, until the outputs have taken too long.
    fn wait_for_links(mut self, wait: Duration) -> Outcome {
        self.life.observed_at = Some(self.now);
        self.fetch_delayed(wait)
    }

    /// Ends the job at once and keeps its hold: the attempt under way may still cost money.
    fn abandon(mut self, state: State) -> Outcome {
        self.end(state);
        self.life.fate = Some(Fate {
            deadline: self.now.plus(FATE_DEADLINE),
            cancel_asked: false,
        });
        self.life.due_at = Some(self.now);
        self.done()
    }

    /// Nobody can tell whether the submit arrived.
    fn ambiguous(mut self) -> Outcome {
        self.life.provider_may_have_charged = true;
        let provider = self.attempt_mut().provider.clone();
        let failure = Failure {
            ambiguous: true,
            ..Failure::permanent(
                FailureCode::SubmissionAmbiguous,
                format!(
                    "the answer of {provider} to the submit was lost, and it may or may not have taken the job on"
                ),
            )
        };
        let failure = failure.billed(Billed::Unknown);
        self.close_attempt(AttemptOutcome::Ambiguous, Some(&failure));
        if self.life.fate.is_some() {
            self.settle(Ending::GivenUp {
                billed: Billed::Unknown,
                usage: Usage::default(),
            });
            return self.done();
        }
        let again = self.job.admission.terms.ambiguous_submit == AmbiguousSubmit::Retry
            && self.life.submissions < MOST_ACCEPTANCES;
        if again {
            self.life.state = State::Accepted;
            self.due_in(Duration::ZERO);
            return self.done();
        }
        self.fail(failure, Usage::default())
    }

    /// The provider's failure, or one that stands for it, ends the job: released, or captured where the
    /// provider bills.
    fn fail(mut self, failure: Failure, usage: Usage) -> Outcome {
        let billed = failure.billed;
        self.end(State::Failed { failure });
        self.settle(Ending::GivenUp { billed, usage });
        self.done()
    }

    /// The provider did its work, and its output cannot be had any more; another try may fare better.
    fn output_unavailable(self, why: &str, usage: Usage) -> Outcome {
        let failure = Failure::passing(FailureCode::OutputUnavailable, why);
        self.undelivered(failure, usage)
    }

    /// The provider did its work, but nothing of it reached the user: the operator bears what it cost.
    fn undelivered(mut self, failure: Failure, usage: Usage) -> Outcome {
        self.close_attempt(AttemptOutcome::Failed, Some(&failure));
        self.end(State::Failed { failure });
        self.settle(Ending::Undelivered { usage });
        self.done()
    }
}
