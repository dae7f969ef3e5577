//! Submitting: the attempt's row is on disk before its message leaves; what comes back decides the rest.
//!
//! Where the answer was lost, or the worker that sent it died, the submit is traced: sent again under the
//! same key, or looked up by the id we minted, as the provider allows.

use std::time::Duration;

use filmgate_core::failure::Failure;
use filmgate_core::job::{Event, Job, State};
use filmgate_core::provider::{Recovered, SubmitRepeat, Submitted};
use filmgate_store::{AfterCommit, StoreError};

use super::spread;
use crate::Parts;
use crate::commit::{Held, Stepped};
use crate::entropy;
use crate::health::Topic;

/// The wait before a lost submit is traced again, when the provider could not be asked.
const TRACE_AGAIN: Duration = Duration::from_secs(5);
/// Rounds of refusals are spread by up to this much, so that waiting jobs do not all come back at once.
const MOST_JITTER_MS: u64 = 1000;

impl Parts {
    pub(crate) async fn submit(&self, held: &mut Held) -> Result<(), StoreError> {
        if let Err(wait) = self.may_submit(held) {
            let put_off = Event::PutOff {
                wait: spread(wait),
                jitter: Duration::ZERO,
            };
            self.step(held, put_off, AfterCommit::EndLease).await?;
            return Ok(());
        }
        if self
            .step(held, Event::Claimed, AfterCommit::KeepLease)
            .await?
            != Stepped::Taken
        {
            return Ok(());
        }
        let event = match self.send_submit(held).await {
            Ok(submitted) => self.accepted(held, submitted),
            Err(failure) if failure.ambiguous => Event::AnswerLost {
                attempt: number(held),
                failure,
            },
            Err(failure) => Event::Refused {
                attempt: number(held),
                failure,
                jitter: jitter(),
            },
        };
        self.step(held, event, AfterCommit::EndLease).await?;
        Ok(())
    }

    /// Finds out what became of a submit nobody heard the answer to.
    pub(crate) async fn trace_submit(&self, held: &mut Held) -> Result<(), StoreError> {
        if let State::Submitting { lost: false } = held.job.life.state {
            let failure =
                Failure::lost_answer("the process that submitted it ended before the answer came");
            let event = Event::AnswerLost {
                attempt: number(held),
                failure,
            };
            if self.step(held, event, AfterCommit::KeepLease).await? != Stepped::Taken {
                return Ok(());
            }
        }
        if !matches!(held.job.life.state, State::Submitting { .. }) {
            return self.store.give_back(held.id(), held.fence()).await;
        }
        let event = self.trace(held).await;
        self.step(held, event, AfterCommit::EndLease).await?;
        Ok(())
    }

    /// What a trace of the latest attempt shows, for a job under way or given up.
    pub(super) async fn trace(&self, held: &Held) -> Event {
        let attempt = number(held);
        let traced = match held.job.candidate().submit_repeat {
            SubmitRepeat::Never => return Event::Untraceable { attempt },
            // A job that was given up is not bought by the search for it.
            SubmitRepeat::SameKey if held.job.life.fate.is_some() => {
                return Event::Untraceable { attempt };
            }
            SubmitRepeat::SameKey => self.send_submit(held).await.map(Recovered::Found),
            SubmitRepeat::Lookup => self.look_up(held).await,
        };
        match traced {
            Ok(Recovered::Found(submitted)) => self.accepted(held, submitted),
            Ok(Recovered::Absent) => Event::Absent { attempt },
            Ok(Recovered::Unknown) => Event::Untraceable { attempt },
            Err(failure) if failure.ambiguous || failure.retryable => Event::StillLost {
                attempt,
                wait: failure.retry_after.unwrap_or(TRACE_AGAIN),
            },
            Err(failure) if held.job.candidate().submit_repeat == SubmitRepeat::SameKey => {
                Event::Refused {
                    attempt,
                    failure,
                    jitter: jitter(),
                }
            }
            Err(_) => Event::Untraceable { attempt },
        }
    }

    /// Whether the candidate is in a state to be asked, and if not, after how long.
    fn may_submit(&self, held: &Held) -> Result<(), Duration> {
        let candidate = held.job.candidate();
        let now = self.clock.now();
        self.health
            .may_ask(&candidate.account(), &topic(&held.job), now)
    }

    async fn send_submit(&self, held: &Held) -> Result<Submitted, Failure> {
        let order = self.order(&held.job);
        self.ask(&held.job, &topic(&held.job), |account, token| {
            account.provider.submit(&order, token)
        })
        .await
    }

    async fn look_up(&self, held: &Held) -> Result<Recovered, Failure> {
        let order = self.order(&held.job);
        self.ask(&held.job, &Topic::Job, |account, token| {
            account.provider.recover(&order, token)
        })
        .await
    }

    fn accepted(&self, held: &Held, submitted: Submitted) -> Event {
        let poll_every = self
            .account(&held.job)
            .map_or(TRACE_AGAIN, |account| account.poll_every);
        let expectation = self.cadence.expect(&held.job, poll_every, self.clock.now());
        Event::Submitted {
            attempt: number(held),
            native: submitted.native,
            expectation,
        }
    }
}

pub(super) fn number(held: &Held) -> u32 {
    held.job
        .life
        .attempt
        .as_ref()
        .map_or(0, |attempt| attempt.number)
}

fn topic(job: &Job) -> Topic {
    Topic::Submit(job.candidate().native_model.clone())
}

fn jitter() -> Duration {
    let mut bytes = [0; 8];
    entropy::fill(&mut bytes);
    Duration::from_millis(u64::from_le_bytes(bytes) % MOST_JITTER_MS)
}
